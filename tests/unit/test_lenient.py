"""Messages of programs without Celeriac's producer: the meaning of null and zero, and near misses of the format."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from celeriac.model.lenient import misplaced_args, task_of
from celeriac.model.message import OPTIONAL, MalformedMessageError, Message, NewerVersionError, decode

PLAIN = Message(task="work")


def as_dict(message: Message) -> dict[str, Any]:
    return {name: getattr(message, name) for name in message.__struct_fields__} | {"args": bytes(message.args)}


@pytest.mark.parametrize("name", sorted(OPTIONAL))
def test_null_means_not_set(name: str) -> None:
    assert as_dict(decode(f'{{"task": "work", "{name}": null}}')) == as_dict(PLAIN)


@pytest.mark.parametrize(
    "field",
    [
        '"attempt": 0',
        '"v": 0',
        '"id": ""',
        '"id": 0',
        '"id": "00000000-0000-0000-0000-000000000000"',
        '"key": ""',
        '"key": 0',
        '"key": "00000000-0000-0000-0000-000000000000"',
        '"stored": ""',
        '"enqueued_at": ""',
        '"enqueued_at": 0',
        '"enqueued_at": "0001-01-01T00:00:00Z"',
        '"enqueued_at": "0001-01-01T00:00:00"',
        '"enqueued_at": "1970-01-01T00:00:00+00:00"',
        '"step": null, "waits_since": "0001-01-01T00:00:00Z"',
        '"failure": {"reason": "", "type": "", "attempts": 0}',
        '"args": { }',
    ],
)
def test_the_zero_of_another_language_means_not_set(field: str) -> None:
    assert as_dict(decode(f'{{"task": "work", {field}}}')) == as_dict(PLAIN)


def test_many_unset_fields_at_once_leave_the_arguments_as_written() -> None:
    body = (
        '{"v": 0, "id": null, "task": "work", "args": {"n" : 1.10}, "stored": "", "key": null, "attempt": 0, '
        '"enqueued_at": "0001-01-01T00:00:00Z", "failure": null}'
    )
    message = decode(body)
    assert bytes(message.args) == b'{"n" : 1.10}'
    assert as_dict(message) == as_dict(PLAIN) | {"args": b'{"n" : 1.10}'}


@pytest.mark.parametrize("name", ["id", "key"])
def test_a_numeric_id_or_key_becomes_text(name: str) -> None:
    assert getattr(decode(f'{{"task": "work", "{name}": 12345678901234567890}}'), name) == "12345678901234567890"


def test_set_fields_stay_set() -> None:
    body = '{"task": "work", "id": "i", "key": "k", "attempt": 2, "enqueued_at": "1970-01-01T00:00:01Z"}'
    message = decode(body)
    assert (message.id, message.key, message.attempt) == ("i", "k", 2)
    assert message.enqueued_at == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)


def test_a_byte_order_mark_is_ignored() -> None:
    assert decode('\ufeff{"task": "work"}').task == "work"
    assert decode('\ufeff{"task": "work", "attempt": null}').task == "work"


def test_a_newer_version_is_recognised_even_with_null_fields() -> None:
    with pytest.raises(NewerVersionError):
        decode('{"v": 99, "task": "work", "attempt": null}')


@pytest.mark.parametrize(
    "name", ["kwargs", "arguments", "payload", "params", "data", "Args", "ARGS", "task_args", "jobArgs"]
)
@pytest.mark.parametrize("args", ["", '"args": null, ', '"args": {}, '])
def test_arguments_under_another_name_are_refused_and_named(name: str, args: str) -> None:
    with pytest.raises(MalformedMessageError, match=f"its arguments are missing, and `{name}` looks like them"):
        decode(f'{{"task": "purge", {args}"{name}": {{"days": 365}}}}')


@pytest.mark.parametrize("nothing", ["null", "{}", "[]", '""'])
def test_another_name_for_arguments_is_ignored_if_it_is_empty(nothing: str) -> None:
    assert decode(f'{{"task": "purge", "kwargs": {nothing}}}').task == "purge"


def test_another_name_beside_arguments_is_ignored() -> None:
    assert decode('{"task": "purge", "args": {"days": 1}, "data": {"trace": 1}}').task == "purge"


@pytest.mark.parametrize("name", ["Task", "TASK", "name", "task_name", "job", "type"])
def test_a_task_under_another_name_is_refused_and_named(name: str) -> None:
    with pytest.raises(
        MalformedMessageError, match=f"it has no `task`, but `{name}`: a message names its task as `task`"
    ):
        decode(f'{{"{name}": "work", "args": {{}}}}')


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('{"task": "work", "args": {"fine": 1, "note": "\\ud83d"}}', "`args.note` holds half of a surrogate pair"),
        ('{"task": "work", "args": {"note": {"deep": ["\\ude00 "]}}}', "`args.note` holds half of a surrogate pair"),
        ('{"task": "work", "key": "\\ud83d"}', "`key` holds half of a surrogate pair"),
        ('{"task": "work", "args": {"ratio": NaN}}', "it holds NaN, which is not JSON"),
        ('{"task": "work", "args": {"ratio": -Infinity}}', "it holds -Infinity, which is not JSON"),
    ],
)
def test_a_well_known_mistake_is_named(body: str, problem: str) -> None:
    with pytest.raises(MalformedMessageError, match=problem):
        decode(body)
    assert task_of(body) == "work"


def test_a_whole_surrogate_pair_is_one_character() -> None:
    args = bytes(decode('{"task": "work", "args": {"note": "\\ud83d\\ude00"}}').args)
    assert msgspec.json.decode(args) == {"note": "\U0001f600"}


@pytest.mark.parametrize("body", ["", "[]", "nonsense", '{"task": 7}', '{"task"', "[" * 100_000])
def test_a_body_without_a_task_gives_an_empty_name(body: str) -> None:
    assert task_of(body) == ""


def test_a_task_name_from_a_malformed_body_can_be_encoded() -> None:
    assert task_of('{"task": "a\\ud800b", "args"  : {"x": NaN}}') == "a?b"
    assert len(task_of(f'{{"task": "{"x" * 1_000_000}"}}')) == 200


def test_parameters_beside_args_are_found_in_hand_written_messages() -> None:
    assert misplaced_args('\ufeff{"task": "purge", "days": 365, "colour": 1}', ["days", "table"], OPTIONAL) == ["days"]
    assert misplaced_args('{"task": "purge", "Max-Days": 1, "o": {"TABLE": 1}}', ["max_days", "table"], OPTIONAL) == [
        "max_days",
        "table",
    ]
    # A sender that writes `v` knows the format, and may know a newer one.
    assert misplaced_args('{"v": 1, "task": "purge", "days": 365}', ["days"], OPTIONAL) == []
    # Fields of the message itself.
    assert misplaced_args('{"task": "purge", "key": "k", "failure": {"type": "x"}}', ["key", "type"], OPTIONAL) == []
