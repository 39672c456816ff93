"""The public keys of load balancers. Each region serves its own, by the number that stands in what they sign.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-authenticate-users.html
"""

import re
from collections.abc import Callable
from threading import Lock

import urllib3

_NUMBER = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""Who asks chooses the number, and it becomes a part of a URL."""
_MOST = 32
"""Keys that are remembered. A load balancer changes its key now and then."""
_SECONDS = 5.0


class NoKeyError(Exception):
    """There is no such key, or it can't be fetched now."""


def fetched(url: str) -> str:
    """A key in PEM from AWS. Raises NoKeyError."""
    try:
        answer = urllib3.request("GET", url, timeout=_SECONDS, retries=urllib3.Retry(2, redirect=0))
    except urllib3.exceptions.HTTPError as error:
        raise NoKeyError("AWS's public keys of load balancers can't be reached from here") from error
    if answer.status != 200:  # noqa: PLR2004 - HTTP's number
        raise NoKeyError("AWS knows no such key of a load balancer")
    return answer.data.decode()


class Keys:
    """The keys of a region, each fetched once."""

    def __init__(self, region: str, fetch: Callable[[str], str] = fetched) -> None:
        self._from = _address(region)
        self._fetch = fetch
        self._keys: dict[str, str] = {}
        self._lock = Lock()

    def get(self, number: object) -> str:
        """A key in PEM by its number. Raises NoKeyError."""
        if not isinstance(number, str) or _NUMBER.fullmatch(number) is None:
            raise NoKeyError("the number of the key isn't one")
        with self._lock:
            found = self._keys.get(number)
        if found is None:
            found = self._fetch(self._from + number)
            with self._lock:
                if len(self._keys) >= _MOST:
                    self._keys.pop(next(iter(self._keys)))
                self._keys[number] = found
        return found


def _address(region: str) -> str:
    if region.startswith("us-gov-"):
        return f"https://s3-{region}.amazonaws.com/aws-elb-public-keys-prod-{region}/"
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://public-keys.auth.elb.{region}.{suffix}/"
