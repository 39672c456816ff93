"""Makes the first try of a call to DynamoDB or SQS: signs and sends what botocore has serialized.

botocore takes three quarters of a call's CPU for this. If AWS has carried the call out, the wire answers botocore's
event `before-call`. If not, botocore gets the error, of AWS or of the connection, as the result of its own first try.
So the number of tries stays the same, and botocore decides about retries, waits and errors.
"""

import os
import socket
import time
from hashlib import sha256
from hmac import digest
from pathlib import Path
from threading import local
from typing import Any, cast
from urllib.parse import urlsplit
from zlib import crc32

from botocore.auth import SIGNED_HEADERS_BLACKLIST
from botocore.awsrequest import AWSPreparedRequest, HeadersDict
from botocore.hooks import first_non_none_response
from botocore.httpsession import URLLib3Session
from botocore.parsers import create_parser
from botocore.utils import get_environ_proxies

_OK = 200
_UNSIGNED = frozenset(SIGNED_HEADERS_BLACKLIST)


class Wire:
    """The first try of each call of one client."""

    def __init__(self, client: Any, service: str, credentials: Any) -> None:
        config, make = client.meta.config, cast("Any", URLLib3Session)  # its stub is wrong
        self._events, self._service, self._credentials = client.meta.events, service, credentials
        self._session = make(
            verify=os.environ.get("AWS_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE") or True,
            proxies=get_environ_proxies(client.meta.endpoint_url),
            timeout=(config.connect_timeout, config.read_timeout),
            max_pool_connections=config.max_pool_connections,
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        )
        self._parser = create_parser("json")
        self._thread = local()  # `came`: what came of a try that botocore goes on with
        self._key: tuple[tuple[str, ...], bytes] = ((), b"")
        self._events.register_last(f"before-call.{service}", self._call)
        self._events.register_first(f"before-send.{service}", self._instead)

    def _call(self, model: Any, params: dict[str, Any], request_signer: Any, context: Any, **_: object) -> Any:
        self._thread.came = None
        url = urlsplit(params["url"])
        is_signed_as_here = request_signer.signature_version == "v4" and "endpoint_properties" not in context
        is_plain = url.path == "/" and not url.query and "[" not in url.netloc  # a name, or an IPv4 address
        if not (is_signed_as_here and is_plain and params["method"] == "POST" and isinstance(params["body"], bytes)):
            return None
        # As the HTTP client writes it. It leaves the usual ports out.
        port = "" if url.port in {None, {"http": 80, "https": 443}[url.scheme]} else f":{url.port}"
        request = self._signed(params, f"{url.hostname}{port}", request_signer.region_name, request_signer.signing_name)
        try:
            # Others see the request, and may answer it.
            answers = self._events.emit(f"before-send.{self._service}.{model.name}", request=request)
            answer = first_non_none_response(answers) or self._session.send(request)
        except Exception as error:  # noqa: BLE001 - botocore decides
            answer = error
        is_success = not isinstance(answer, Exception) and answer.status_code == _OK
        # DynamoDB sends the checksum of its answer along. botocore tries again if the answer has another one.
        if not is_success or answer.headers.get("x-amz-crc32") not in {None, str(crc32(answer.content))}:
            self._thread.came = answer
            return None
        came = {"headers": answer.headers, "status_code": _OK, "body": answer.content}
        # Most writes return nothing. Then no shape is looked at, and the stub of `parse` doesn't know that.
        parsed = self._parser.parse(came, cast("Any", None) if answer.content == b"{}" else model.output_shape)
        parsed["ResponseMetadata"]["RetryAttempts"] = 0
        return answer, parsed

    def _instead(self, **_: object) -> Any:
        """What came of the wire's try, in place of botocore's own first try."""
        came, self._thread.came = getattr(self._thread, "came", None), None
        if isinstance(came, Exception):
            raise came
        return came

    def _signed(self, params: dict[str, Any], host: str, region: str, name: str) -> AWSPreparedRequest:
        """See https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html ."""
        credentials, body, headers = self._credentials.get_frozen_credentials(), params["body"], dict(params["headers"])
        now = headers["X-Amz-Date"] = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        if credentials.token:
            headers["X-Amz-Security-Token"] = credentials.token
        lines = {header.lower(): " ".join(text.split()) for header, text in headers.items()} | {"host": host}
        names = sorted(lines.keys() - _UNSIGNED)
        signed, canonical = ";".join(names), "".join(f"{header}:{lines[header]}\n" for header in names)
        request = f"POST\n/\n\n{canonical}\n{signed}\n{sha256(body).hexdigest()}"
        scope = f"{now[:8]}/{region}/{name}/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{sha256(request.encode()).hexdigest()}"
        signature = digest(self._signing_key(credentials.secret_key, now[:8], region, name), text.encode(), "sha256")
        who = f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}"
        headers["Authorization"] = f"{who}, SignedHeaders={signed}, Signature={signature.hex()}"
        sent = {header: text.encode() for header, text in headers.items()} | {"Content-Length": str(len(body))}
        return AWSPreparedRequest("POST", params["url"], cast("Any", HeadersDict(sent)), body, stream_output=False)

    def _signing_key(self, secret: str, *scope: str) -> bytes:
        known, key = self._key
        if known != (secret, *scope):
            key = b"AWS4" + secret.encode()
            for part in (*scope, "aws4_request"):
                key = digest(key, part.encode(), "sha256")
            self._key = (secret, *scope), key
        return key


def install(client: Any, service: str, session: Any) -> None:
    """Let the calls of a client of boto3's `session` take this way, unless it is switched off or can't be sure."""
    credentials = session.get_credentials()
    try:  # Only botocore finds the authorities that a configuration file may name.
        file = Path(os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config").expanduser()
        has_authorities = b"ca_bundle" in file.read_bytes()
    except (OSError, RuntimeError):  # no file, or no home
        has_authorities = False
    if credentials is not None and os.environ.get("CELERIAC_WIRE") != "off" and not has_authorities:
        Wire(client, service, credentials)
