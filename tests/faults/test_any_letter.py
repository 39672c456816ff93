"""One dead letter never hides the others, whatever is in it: anyone who may send to a queue can write its letters."""

import json
import math
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from celeriac import Queue, task
from celeriac.aws import payloads, sqs
from celeriac.aws.attributes import FAILURE_ATTRIBUTE, FIRST_SENT_AT, MORE
from celeriac.aws.client import client
from celeriac.model.failure import Failure, fingerprint
from celeriac.model.payload import ARGS, BODIES, key_of
from celeriac.model.queue import MAX_MESSAGE_BYTES
from celeriac.testing import Sandbox
from celeriac.testing.calls import Call
from celeriac_console.main import app
from tests.faults.bodies import bodies

shop = Queue("any-letter", batch_size=10)
DEAD = shop.dead_letter_name("test")
ran: list[str] = []


@task(shop, delivery="at_least_once")
def pay(order: str = "") -> None:
    ran.append(order)


type Attribute = Any
type Letter = tuple[str, dict[str, Attribute]]

GOOD = [f"good-{number}" for number in range(3)]
_DIED = {"reason": "exhausted", "type": "E", "attempts": 5, "last_at": "2026-01-01T00:00:00Z", "request_id": "r"}
_DATES = st.sampled_from(
    [
        *("2026-01-01T00:00:00", "2026-01-01T00:00:00Z", "0001-01-01T00:00:00", "0001-01-01T00:00:00+23:59"),
        *("9999-12-31T23:59:59.999999-23:59", "2999-01-01T00:00:00+05:30", "soon", "", "1767225600"),
    ]
)
# What SQS takes: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
_SENDABLE = re.compile("[\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]+")
_TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=20)
# Without bounds Hypothesis rejects some numbers, and then warns of the length of the letters that it shows.
_FLOATS = st.floats(-65504, 65504, width=16) | st.sampled_from([math.inf, -math.inf])
_ODD = st.one_of(_TEXTS, _DATES, st.none(), st.booleans(), st.integers(), st.just(10**400), _FLOATS)
_FAILURES = st.fixed_dictionaries(
    {},
    optional={name: st.one_of(_DATES, _ODD) if name.endswith("_at") else _ODD for name in Failure.__struct_fields__},
).flatmap(lambda odd: st.sampled_from([_DIED | odd, {"reason": "x"} | odd, odd]))
_STORED = [
    b"\xff\xfe{",
    b"[" * 100_000,
    json.dumps({"task": "pay", "failure": {"reason": "x", "last_at": "2026-01-01T00:00:00"}}).encode(),
]
_KEYS_OF_STORED = [key_of(BODIES, "any-letter", content, date(2026, 1, 1)).text for content in _STORED]
_GONE = key_of(BODIES, "any-letter", b"gone", date(2026, 1, 1)).text
_KEYS = st.sampled_from([*_KEYS_OF_STORED, _GONE, "bodies/none", "/", "?acl", "x" * 2000])


def _nested(depth: int, inside: str) -> str:
    return f'{{"task": "pay", "args": {{"order": {"[" * depth}{inside}{"]" * depth}}}}}'


_BODIES = st.one_of(
    st.integers(0, 10**6).map(lambda seed: next(islice(bodies(seed, [{"task": "pay", "args": {"order": "o"}}]), 7, 8))),
    _FAILURES.map(lambda failure: json.dumps({"task": "pay", "failure": failure})),
    _KEYS.map(lambda key: json.dumps({"task": "pay", "stored": key})),
    st.tuples(_KEYS, _KEYS).map(lambda keys: json.dumps({"stored_body": keys[0], "stored_attributes": keys[1]})),
    st.dictionaries(st.sampled_from(["task", "id", "args", "key", "stored", "failure", "v"]), _ODD).map(json.dumps),
    st.builds(_nested, st.integers(0, 3_000), st.sampled_from(["1", '"\\ud800"', "", "NaN"])),
    _TEXTS,
).filter(lambda body: body and _SENDABLE.fullmatch(body) and len(body.encode()) < MAX_MESSAGE_BYTES // 4)

_PACKED = st.dictionaries(
    _TEXTS,
    st.fixed_dictionaries(
        {"type": st.sampled_from(["String", "Binary", "Number", "Foo"])}, optional={"text": _TEXTS, "base64": _TEXTS}
    ),
)
_STRINGS = st.one_of(_DATES, _TEXTS, _FAILURES.map(json.dumps), _PACKED.map(json.dumps)).filter(bool)
_ATTRIBUTES = st.one_of(
    st.builds(lambda text: {"DataType": "String", "StringValue": text}, _STRINGS),
    st.builds(lambda text: {"DataType": "String.json", "StringValue": text}, _STRINGS),
    st.integers(-(10**9), 10**9).map(lambda number: {"DataType": "Number", "StringValue": str(number)}),
    st.binary(min_size=1, max_size=20).map(lambda raw: {"DataType": "Binary", "BinaryValue": raw}),
)
_NAMES = st.sampled_from(
    [FAILURE_ATTRIBUTE, FIRST_SENT_AT, MORE, "failure", "first_sent_at", "more_attributes", "tenant", "Id"]
)
_LETTERS: st.SearchStrategy[Letter] = st.tuples(_BODIES, st.dictionaries(_NAMES, _ATTRIBUTES, max_size=10))


def _failed(**fields: object) -> str:
    return json.dumps({"task": "pay", "failure": {"reason": "x"} | fields})


def _text(value: object) -> Attribute:
    return {"DataType": "String", "StringValue": value if isinstance(value, str) else json.dumps(value)}


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@example([(_failed(last_at="2026-01-01T00:00:00"), {})])
@example([("x", {"failure": _text(_DIED | {"last_at": "2026-01-01T00:00:00"})})])
@example([(json.dumps({"stored_body": _KEYS_OF_STORED[0], "stored_attributes": _KEYS_OF_STORED[0]}), {})])
@example([(_failed(message="a-" * 200_000), {})])
@example([("x", {"failure": {"DataType": "Number", "StringValue": "5"}})])
@given(st.lists(_LETTERS, min_size=1, max_size=6))
def test_every_other_letter_is_listed_exported_redriven_and_discarded(tmp_path: Path, odd: list[Letter]) -> None:
    with Sandbox() as sandbox:
        _store_oddities()
        _lay(odd)
        _check_every_command(sandbox, tmp_path / "dead.jsonl", len(odd) + len(GOOD))


def _store_oddities() -> None:
    for key, content in zip(_KEYS_OF_STORED, _STORED, strict=True):
        client("s3").put_object(Bucket=payloads.bucket(DEAD), Key=key, Body=content)


def _lay(odd: list[Letter]) -> None:
    """Put letters into the dead-letter queue: odd ones, and good ones behind and before them."""
    first, *others = (
        sqs.Entry(json.dumps({"task": "pay", "id": id_, "args": {"order": id_}, "failure": _DIED})) for id_ in GOOD
    )
    for made in [first, *(sqs.Entry(body, attributes=attributes) for body, attributes in odd), *others]:
        sqs.send(DEAD, made)


def _check_every_command(sandbox: Sandbox, file: Path, total: int) -> None:
    """Every command reads all letters, and does its work on the good ones."""
    assert len(sandbox.dead_letters(shop)) == total
    sandbox.advance(timedelta(milliseconds=1))
    assert pay.handle(id=GOOD[0]).status().state == "dead"
    assert sum(kind["count"] for kind in _json(sandbox, "list", shop.name)) == total
    letters = _json(sandbox, "list", shop.name, "--letters")
    assert len(letters) == total
    assert f"{total} dead letters" in _run(sandbox, "list", shop.name, "--letters", "--until", "2999-01-01").output
    for letter in letters[:2]:
        assert _run(sandbox, "show", shop.name, letter["message_id"]).stdout
    _run(sandbox, "export", shop.name, str(file))
    exported = [json.loads(line) for line in file.read_text().splitlines()]
    file.unlink()
    assert {line["message_id"] for line in exported} == {letter["message_id"] for letter in letters}
    _run(sandbox, "redrive", shop.name, "--yes", "--task", "pay")
    left = {letter.id for letter in sandbox.dead_letters(shop)}
    assert not left & set(GOOD)
    _run(sandbox, "discard", shop.name, "--yes")
    assert sandbox.dead_letters(shop) == []


def _run(sandbox: Sandbox, *arguments: str) -> Result:
    sandbox.advance(timedelta(milliseconds=1))  # in moto, released messages can be received a moment later
    answer = CliRunner().invoke(app, ["--stage", "test", "dlq", *arguments])
    assert answer.exception is None or isinstance(answer.exception, SystemExit), answer.exception
    return answer


def _json(sandbox: Sandbox, *arguments: str) -> Any:
    return json.loads(_run(sandbox, *arguments, "--json").stdout.splitlines()[-1])


@contextmanager
def _s3_is_denied(sandbox: Sandbox, error: Exception) -> Iterator[None]:
    def denied(call: Call) -> Any:
        if call.service == "s3":
            raise error
        return call.make()

    with sandbox.worker(), sandbox.fault(denied):
        yield


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetObject"),
        EndpointConnectionError(endpoint_url="https://s3"),
        TimeoutError(),
    ],
    ids=["denied", "out of reach", "slow"],
)
def test_a_payload_bucket_that_cannot_be_read_hides_no_letter(
    sandbox: Sandbox, tmp_path: Path, error: Exception
) -> None:
    args = key_of(ARGS, "any-letter", b"gone", date(2026, 1, 1)).text
    _lay([(json.dumps({"task": "pay", "stored": args}), {}), (json.dumps({"stored_body": _GONE}), {})])
    with _s3_is_denied(sandbox, error):
        letters = _json(sandbox, "list", shop.name, "--letters")
        assert [bool(letter["missing"]) for letter in letters].count(True) == 2
        _check_every_command(sandbox, tmp_path / "dead.jsonl", 2 + len(GOOD))


def test_a_letter_that_its_new_id_makes_too_large_for_a_message_is_redriven_too(sandbox: Sandbox) -> None:
    attributes = {"tenant": _text("t" * 1000)}
    empty = sqs.Entry('{"task": "pay", "args": {"order": ""}}', attributes=attributes)
    body = empty.body.replace('""', f'"{"x" * (MAX_MESSAGE_BYTES - empty.size)}"')
    _lay([(body, attributes)])
    with sandbox.worker(), sandbox.fault(_refuse_what_is_too_large):
        assert "4 of 4 dead letters" in _run(sandbox, "redrive", shop.name, "--yes").output
    assert sandbox.dead_letters(shop) == []


def _refuse_what_is_too_large(call: Call) -> Any:
    """As SQS does: moto leaves attributes out of a batch's size."""
    entries = call.arguments.get("Entries", []) if call.operation == "SendMessageBatch" else []
    if sum(sqs.Entry(one["MessageBody"], attributes=one.get("MessageAttributes", {})).size for one in entries) > (
        MAX_MESSAGE_BYTES
    ):
        raise ClientError({"Error": {"Code": "AWS.SimpleQueueService.BatchRequestTooLong"}}, call.operation)
    return call.make()


def test_the_kind_of_a_failure_is_found_in_time_whatever_a_sender_has_written() -> None:
    started = time.process_time()
    fingerprint("pay", Failure("x", message="a-" * 500_000))
    assert time.process_time() - started < 5  # it took three hours


def test_a_letters_dates_are_no_later_than_its_send(sandbox: Sandbox) -> None:
    client("sqs").send_message(
        QueueUrl=sqs.url(DEAD),
        MessageBody=_failed(last_at="9999-12-31T23:59:59.999999-23:59", first_at="0001-01-01T00:00:00+23:59"),
    )
    (letter,) = sandbox.dead_letters(shop)
    assert letter.failure is not None
    assert letter.failure.last_at == letter.sent_at == sandbox.now
    assert letter.failure.first_at is not None
    assert letter.failure.first_at.year == 1970
