"""The first try of a call: signed and sent by us, and in every other way like botocore's own."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from zlib import crc32

import botocore
import pytest
import time_machine
from boto3 import Session
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError
from botocore.httpsession import URLLib3Session
from hypothesis import given, settings
from hypothesis import strategies as st

from celeriac.aws import client as clients
from celeriac.aws import wire

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TRIES = 3
ITEM: dict[str, Any] = {"id": {"S": "a"}}


def test_botocore_is_the_release_that_the_wire_was_read_against() -> None:
    """With a newer one, compare its `client._make_api_call`, `endpoint._send_request` and `auth.SigV4Auth` first."""
    assert botocore.__version__.startswith("1.44.")


class _Body(io.BytesIO):
    def stream(self, **_: object) -> Iterator[bytes]:
        yield self.read()


def answer(content: Any, status: int = 200, request_id: str = "r-0") -> Any:
    headers: Any = {"x-amzn-RequestId": request_id}
    return AWSResponse("http://aws", status, headers, _Body(json.dumps(content).encode()))


def error(code: str, status: int = 400, **more: Any) -> Any:
    return answer({"__type": f"com.amazonaws.dynamodb#{code}", "message": "no", **more}, status)


SESSION: Any = Session("id", "secret", region_name="eu-west-1")  # one, because it reads botocore's data once


def make(service: str, *, is_wired: bool, credentials: Any = None) -> Any:
    config = Config(retries={"mode": "standard", "total_max_attempts": TRIES})
    made: Any = SESSION.client(service, config=config)
    if is_wired:
        wire.install(made, service, SimpleNamespace(get_credentials=lambda: credentials or SESSION.get_credentials()))
    return made


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine has credentials in its environment, and no configuration file."""
    for name, value in {
        "AWS_CONFIG_FILE": "/nowhere",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }.items():
        monkeypatch.setenv(name, value)
    yield
    SESSION.get_credentials().token = None


@contextmanager
def aws(*answers: Any) -> Iterator[list[Any]]:
    """Let AWS answer in turn. Yields the requests that it gets."""
    came: list[Any] = []

    def send(_: URLLib3Session, request: Any) -> Any:
        came.append(request)
        result = answers[min(len(came), len(answers)) - 1]
        if isinstance(result, Exception):
            raise result
        return result() if callable(result) else result

    with patch.object(URLLib3Session, "send", send), patch("time.sleep"):
        yield came


TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)
TOKENS = st.one_of(st.none(), st.text("abcXYZ0189+/=", min_size=1, max_size=60))


@given(text=TEXTS, token=TOKENS, service=st.sampled_from(["dynamodb", "sqs"]), seconds=st.integers(0, 10**9))
@settings(max_examples=60, deadline=None)
def test_a_request_is_botocores_byte_for_byte(text: str, token: str | None, service: str, seconds: int) -> None:
    SESSION.get_credentials().token = token
    found = []
    for is_wired in (True, False):
        with aws(lambda: answer({})) as came, time_machine.travel(NOW + timedelta(seconds=seconds), tick=False):
            made = _once(service, is_wired=is_wired)
            if service == "sqs":
                made.send_message(QueueUrl="https://sqs.eu-west-1.amazonaws.com/1/q", MessageBody=text)
            else:
                made.put_item(TableName="t", Item={"id": {"S": text}, "data": {"B": text.encode()}})
        (request,) = came
        headers = {name.lower(): value for name, value in request.headers.items()}
        found.append(
            (request.method, request.url, request.body, {n: v for n, v in headers.items() if n not in _ABOUT_ITSELF})
        )
    assert found[0] == found[1]


_once = cache(make)
# botocore says here which of its features are used, and which try of which call this is. None of it is signed.
_ABOUT_ITSELF = {"user-agent", "amz-sdk-invocation-id", "amz-sdk-request"}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://vpce-1.dynamodb.EU-west-1.vpce.amazonaws.com:443",
        "http://localhost:80",
        "http://127.0.0.1:4566",
        "https://name:8443/",
        "http://[::1]:8000",
        "http://proxy/aws/",
    ],
)
def test_the_host_of_an_endpoint_is_signed_as_botocore_signs_it(endpoint: str) -> None:
    """A signature over another host is refused, and botocore doesn't try such a call again."""
    signed = []
    for is_wired in (True, False):
        with aws(lambda: answer({})) as came, time_machine.travel(NOW, tick=False):
            made: Any = SESSION.client("dynamodb", endpoint_url=endpoint)
            if is_wired:
                wire.install(made, "dynamodb", SESSION)
            made.list_tables()
        signed.append([(request.url, request.headers["Authorization"]) for request in came])
    assert signed[0] == signed[1]


CALLS: list[tuple[str, Callable[[Any], Any]]] = [
    ("dynamodb", lambda c: c.get_item(TableName="t", Key=ITEM)),
    ("dynamodb", lambda c: c.describe_table(TableName="t")),
    ("sqs", lambda c: c.receive_message(QueueUrl="https://sqs.eu-west-1.amazonaws.com/1/q")),
]
CONTENTS: list[dict[str, Any]] = [
    {"Item": {"data": {"B": "YWJj"}, "list": {"L": [{"NULL": True}, {"M": {"n": {"N": "1.50"}}}]}}},
    {"Table": {"TableName": "t", "CreationDateTime": 1767225600.5}},
    {"Messages": [{"MessageId": "m", "Body": "é", "Attributes": {"SentTimestamp": "1"}}], "Unknown": 1},
]


@pytest.mark.parametrize(("call", "content"), list(zip(CALLS, CONTENTS, strict=True)))
def test_an_answer_is_read_as_botocore_reads_it(call: tuple[str, Callable[[Any], Any]], content: Any) -> None:
    service, ask = call
    with aws(lambda: answer(content, request_id="r-1")):
        ours, theirs = (ask(make(service, is_wired=is_wired)) for is_wired in (True, False))
    assert ours == theirs
    assert ours["ResponseMetadata"]["RequestId"] == "r-1"


def test_a_failed_condition_is_one_call_and_botocores_own_error() -> None:
    with aws(lambda: error("ConditionalCheckFailedException", Item=ITEM)) as came, pytest.raises(ClientError) as caught:
        make("dynamodb", is_wired=True).put_item(TableName="t", Item=ITEM)
    assert caught.value.response["Error"]["Code"] == "ConditionalCheckFailedException"
    assert caught.value.response["Item"] == ITEM  # type: ignore[typeddict-item]  # DynamoDB adds it
    assert len(came) == 1


@pytest.mark.parametrize(
    ("refusal", "tries"),
    [
        (lambda: error("ThrottlingException"), TRIES),
        (lambda: error("InternalServerError", 500), TRIES),
        (lambda: answer({}, 503), TRIES),
        (lambda: error("ResourceNotFoundException"), 1),
        (lambda: error("AccessDeniedException"), 1),
    ],
)
def test_a_refused_call_is_tried_as_often_as_without_the_wire(refusal: Callable[[], Any], tries: int) -> None:
    found = []
    for is_wired in (True, False):
        with aws(refusal) as came, pytest.raises(ClientError) as caught:
            make("dynamodb", is_wired=is_wired).put_item(TableName="t", Item=ITEM)
        response = dict(caught.value.response)
        found.append((len(came), response["Error"], response["ResponseMetadata"], str(caught.value)))
    assert found[0] == found[1]
    assert found[0][0] == tries


@pytest.mark.parametrize("lost", [ReadTimeoutError, ConnectTimeoutError])
def test_a_call_without_an_answer_is_tried_as_often_as_without_the_wire(lost: type[Exception]) -> None:
    failure: Any = lost
    with aws(failure(endpoint_url="https://aws")) as came, pytest.raises(lost):
        make("dynamodb", is_wired=True).put_item(TableName="t", Item=ITEM)
    assert len(came) == TRIES


def test_a_later_try_succeeds_and_says_so() -> None:
    with aws(lambda: error("ThrottlingException"), lambda: answer({})) as came:
        made = make("dynamodb", is_wired=True).put_item(TableName="t", Item=ITEM)
    assert (len(came), made["ResponseMetadata"]["RetryAttempts"]) == (2, 1)


def test_an_answer_that_does_not_have_its_checksum_is_tried_again() -> None:
    def damaged() -> Any:
        made = answer({"Item": {"id": {"S": "b"}}})
        made.headers["x-amz-crc32"] = str(crc32(json.dumps({"Item": ITEM}).encode()))
        return made

    with aws(damaged, lambda: answer({"Item": ITEM})) as came:
        made = make("dynamodb", is_wired=True).get_item(TableName="t", Key=ITEM)
    assert (len(came), made["Item"]) == (2, ITEM)


def test_a_try_that_failed_before_it_was_sent_leaves_nothing_for_the_next_call() -> None:
    """botocore itself may fail between the wire's try and its own."""
    made = make("dynamodb", is_wired=True)
    made.meta.events.register("request-created.dynamodb", _break)
    with aws(lambda: error("ThrottlingException")), pytest.raises(ZeroDivisionError):
        made.put_item(TableName="t", Item=ITEM)
    with aws(lambda: answer({"Item": ITEM})):
        assert made.get_item(TableName="t", Key=ITEM)["Item"] == ITEM


def _break(**_: object) -> None:
    raise ZeroDivisionError


def test_expired_credentials_are_refreshed() -> None:
    moments = iter("abc")

    def fetch() -> dict[str, str]:
        until = datetime.now(UTC) + timedelta(hours=1)
        return {"access_key": next(moments), "secret_key": "s", "token": "t", "expiry_time": until.isoformat()}

    with time_machine.travel(NOW, tick=False) as clock, aws(lambda: answer({})) as came:
        credentials = RefreshableCredentials.create_from_metadata(fetch(), fetch, "test")
        made = make("dynamodb", is_wired=True, credentials=credentials)
        made.list_tables()
        clock.shift(timedelta(hours=2))
        made.list_tables()
    assert [_text(request.headers["Authorization"]).split("Credential=")[1][:2] for request in came] == ["a/", "b/"]


def test_a_handler_that_may_replace_the_body_with_a_text() -> None:
    """botocore takes bytes and texts."""
    made = make("dynamodb", is_wired=True)

    def replace(params: dict[str, Any], **_: object) -> None:
        params["body"] = "{}"

    made.meta.events.register("before-call.dynamodb", replace)
    with aws(lambda: answer({})) as came:
        made.list_tables()
    assert [request.body for request in came] == ["{}"]


def test_others_see_and_answer_each_try_once() -> None:
    made, seen = make("dynamodb", is_wired=True), []

    def stand_in(request: Any, **_: object) -> Any:
        seen.append(request)
        return answer({"Item": ITEM})

    made.meta.events.register("before-send.dynamodb.GetItem", stand_in)
    with aws() as came:
        assert made.get_item(TableName="t", Key=ITEM)["Item"] == ITEM
    assert (len(seen), len(came)) == (1, 0)


def test_whoever_answers_before_a_call_is_sent_goes_first() -> None:
    made = make("dynamodb", is_wired=True)
    made.meta.events.register("before-call.dynamodb", lambda **_: (SimpleNamespace(status_code=200), {"Item": ITEM}))
    with aws() as came:
        assert made.get_item(TableName="t", Key=ITEM)["Item"] == ITEM
    assert came == []


def _first_sender(made: Any) -> str:
    """Which header is only on requests of botocore's own."""
    with aws(lambda: answer({})) as came:
        made.list_tables()
    return "botocore" if "amz-sdk-request" in came[0].headers else "wire"


def test_every_client_of_the_two_services_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [_first_sender(clients.make("dynamodb", patience)) for patience in clients.PATIENCE] == ["wire"] * 5
    monkeypatch.setenv("CELERIAC_WIRE", "off")
    assert _first_sender(clients.make("dynamodb")) == "botocore"


def test_a_configuration_file_with_its_own_authorities_is_left_to_botocore(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "config").write_text("[default]\nca_bundle = /etc/company.pem\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    assert _first_sender(clients.make("dynamodb")) == "botocore"
