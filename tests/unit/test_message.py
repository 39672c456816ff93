import json
import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.model import cron
from celeriac.model.failure import Failure
from celeriac.model.following import OfBatch, OfChain
from celeriac.model.message import VERSION, MalformedMessageError, Message, NewerVersionError, decode, encode, new_id

SAMPLES = sorted((Path(__file__).parent / "messages").glob("*.json"))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_a_message_of_an_older_release_can_be_decoded(sample: Path) -> None:
    text = sample.read_text()
    message = decode(text)

    written = json.loads(text)
    assert message.task == written["task"]
    assert json.loads(bytes(message.args)) == written.get("args", {})
    assert json.loads(encode(message)) == {"v": 1, "args": {}, "attempt": 1} | written
    assert ("step" in json.loads(encode(message))) is (message.step > 0)


@pytest.mark.parametrize("version", range(1, VERSION + 1))
def test_the_samples_of_each_version_have_every_field(version: int) -> None:
    written = [json.loads(sample.read_text()) for sample in SAMPLES if sample.name.startswith(f"v{version}-")]
    # The fields that each later version has added. Add a line for each new version.
    composed = {"batch", "chain"}
    newer = {
        1: {"step", "waits_since", "throttled", "tick", "part"} | composed,
        2: {"tick", "part"} | composed,
        3: composed,
        4: set(),
    }[version]
    assert {name for fields in written for name in fields} == set(Message.__struct_fields__) - newer
    assert {name for fields in written for name in fields.get("failure", {})} == set(Failure.__struct_fields__)


def test_the_failure_of_a_sample_is_decoded_completely() -> None:
    failure = decode((SAMPLES[0].parent / "v1-dead.json").read_text()).failure
    assert failure == Failure(
        reason="exhausted",
        type="ValueError",
        message="no such order",
        traceback="Traceback (most recent call last):\n",
        attempts=5,
        first_at=datetime(2026, 1, 1, tzinfo=UTC),
        last_at=datetime(2026, 1, 1, 0, 15, tzinfo=UTC),
        function="celeriac-dev--payments",
        request_id="1f2e",
    )


def test_the_message_of_a_schedule_is_still_written_as_its_sample() -> None:
    # Such a message is part of a deployed schedule, so an older stack continues to send it.
    sample = (SAMPLES[0].parent / "v1-recurring.json").read_text()
    assert cron.message("nightly_report", "2026-01-01T03:00:00Z") == sample.strip()


def test_arguments_pass_through_byte_for_byte() -> None:
    body = '{"task": "t", "args": {"n": 12345678901234567890123, "f": 1.10, "s": "\\u00e9"}}'
    assert '"args":{"n": 12345678901234567890123, "f": 1.10, "s": "\\u00e9"}' in encode(decode(body))


def test_unknown_fields_of_a_message_are_ignored() -> None:
    assert decode('{"task": "t", "colour": "red"}').task == "t"


def test_a_message_of_a_newer_version_is_not_called_malformed() -> None:
    with pytest.raises(NewerVersionError, match="version 5"):
        decode('{"v": 5, "task": {"now": "an object"}}')


def test_a_message_has_the_oldest_version_that_can_read_it() -> None:
    # A release that doesn't know `step` would take the message for a copy of the previous run, so it must wait for a
    # newer one.
    message = Message(id="1", task="work", attempt=2)
    versions = [json.loads(encode(msgspec.structs.replace(message, v=2, step=step)))["v"] for step in (0, 1)]
    assert versions == [1, 2]
    # One that doesn't know `tick` would run its task without arguments.
    assert json.loads(encode(msgspec.structs.replace(message, v=1, tick="one")))["v"] == 3
    # One that doesn't know `part` would begin the work again.
    assert json.loads(encode(msgspec.structs.replace(message, v=1, step=1, part=1)))["v"] == 3


@pytest.mark.parametrize("body", ["", "nonsense", "[]", '{"args": {}}', '{"task": "\ud800"}', "[" * 10_000])
def test_a_body_that_is_not_a_message_is_malformed(body: str) -> None:
    with pytest.raises(MalformedMessageError):
        decode(body)


@given(st.text())
def test_every_text_either_decodes_or_is_malformed(body: str) -> None:
    with suppress(MalformedMessageError, NewerVersionError):
        decode(body)


@given(
    st.builds(
        Message,
        id=st.text(max_size=128),
        task=st.text(min_size=1, max_size=200),
        args=st.dictionaries(st.text(), st.integers() | st.text()).map(lambda d: msgspec.Raw(msgspec.json.encode(d))),
        key=st.none() | st.text(min_size=1, max_size=1024),
        enqueued_at=st.none() | st.datetimes(datetime(1971, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - Hypothesis takes naive bounds
        attempt=st.integers(1, 10_000),
        step=st.integers(0, 10_000),
        failure=st.none() | st.builds(Failure, reason=st.text(min_size=1), attempts=st.integers(0, 9)),
    )
)
def test_an_encoded_message_decodes_to_the_same_message(message: Message) -> None:
    decoded = decode(encode(message))
    assert msgspec.structs.replace(decoded, args=message.args, v=message.v) == message
    assert json.loads(bytes(decoded.args)) == json.loads(bytes(message.args))


def test_ids_are_uuids_of_version_7_with_their_time() -> None:
    before = datetime.now(UTC).timestamp()
    made = UUID(new_id())
    after = datetime.now(UTC).timestamp()
    assert made.version == 7
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", str(made))
    assert int(before * 1000) <= made.int >> 80 <= int(after * 1000)
    assert len({new_id() for _ in range(1000)}) == 1000


def test_a_batch_or_a_chain_needs_a_release_that_reports_them() -> None:
    member = Message(id="1", task="work", batch=OfBatch("q#b", "e", 0))
    assert decode(encode(member)) == msgspec.structs.replace(member, v=4)
    assert '"v":4' in encode(member)
    assert '"v":4' in encode(Message(id="1", task="work", chain=OfChain("c")))


@pytest.mark.parametrize("version", ["", '"v": 1, ', '"v": 3, '])
@pytest.mark.parametrize("value", ['"nightly"', "7", "null", "[]", '{"id": "q#b", "epoch": "e", "index": 0}'])
def test_in_an_older_body_a_batch_is_its_senders_own(version: str, value: str) -> None:
    body = f'{{{version}"task": "work", "batch": {value}, "chain": {value}, "args": {{"n": 1}}}}'
    message = decode(body)
    assert (message.batch, message.chain) == (None, None)
    assert bytes(message.args) == b'{"n": 1}'


@pytest.mark.parametrize(
    "value", ['"x"', '{"id": "q#b"}', '{"id": "q#b", "epoch": "e", "index": -1}', '{"id": "", "epoch": "e"}']
)
def test_a_batch_that_cant_be_read_is_malformed(value: str) -> None:
    with pytest.raises(MalformedMessageError):
        decode(f'{{"v": 4, "task": "work", "batch": {value}}}')
