"""Message bodies that a sender might send, from valid messages to nonsense. The same seed makes the same bodies."""

import json
import random
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from celeriac.aws.sqs import BATCH_BYTES

UNIT = Path(__file__).parents[1] / "unit"
SAMPLES = UNIT / "messages"
# Messages of other systems.
ENVELOPES = [path.read_text() for path in sorted((UNIT / "foreign").glob("*.json"))]
DEEP = 100_000
# One body in this many is as large as SQS allows.
HUGE_EVERY = 2_000

# JSON texts that replace the value of a field.
ODD = [
    *("null", "true", "false", "0", "-0", "-1", "1.0", "1e999", "-1e-999", "NaN", "Infinity", "-Infinity", '""', '" "'),
    *("1" * 400, "0." + "1" * 400, "9223372036854775808", "18446744073709551616", "1E400", "0x10", "01", "+1", ".5"),
    *("[]", "{}", "[[]]", "[null]", '{"a": {}}', '{"__class__": "os.system"}', '{"__proto__": {"admin": true}}'),
    *('{"constructor": {"prototype": {}}}', '{"py/object": "os.system"}', '{"$ref": "#"}', '{"__reduce__": []}'),
    *('"\\ud800"', '"\\udfff\\ud800"', '"\\u0000"', '"\\ufffe\\uffff"', '"\ufeff"', '"\u202e"', '"\\x41"', "'a'"),
    *('"\ud800"', '"a\x00b"', '"a\x1fb"', '"\x7f\x85"', '"tab\there"', '"line\nbreak"', '"\U0001f600"', '"e\u0301"'),
    *('"2026-01-01T00:00:00Z"', '"2026-01-01"', '"0001-01-01T00:00:00+23:59"', '"9999-12-31T23:59:59.999999-23:59"'),
    *('"2026-13-45T99:99:99Z"', '"yesterday"', '"1767225600"', "1767225600", '"2026-01-01T00:00:60Z"'),
    *("[" * 50 + "]" * 50, "[" * 5_000, '{"a":' * 2_000 + "1" + "}" * 2_000),
    *('"' + "x" * 2_000 + '"', '"' + "é" * 600 + '"'),
]  # fmt: skip
NAMES = ["task", "args", "v", "id", "key", "enqueued_at", "attempt", "step", "waits_since", "stored", "failure"]
UNKNOWN_FIELDS = [
    "__class__",
    "__proto__",
    "constructor",
    "toString",
    "",
    "\\u0000",
    "stored_body",
    "Task",
    "task ",
    "args.name",
]
ZEROS = ["null", "0", '""', '"00000000-0000-0000-0000-000000000000"', '"0001-01-01T00:00:00Z"', "{}", "false"]
ARGS_NAMES = ["kwargs", "arguments", "payload", "params", "data", "Args", "task_args", "KWARGS"]
VERSIONS = ["0", "-1", "2", "99", "1.5", '"1"', "1e3", str(10**30), "null", "[1]"]
WHOLE = [
    *("", " ", "\n", "null", "true", "0", '"text"', "[]", "{}", "nonsense", "\ufeff{}", '{"task"', "<xml/>", "a=b&c=d"),
    *("\x00", "\ud800", '{"task": "work"} trailing', '{"task": "work"}{"task": "work"}', '{"stored_body": "bodies/x"}'),
]


def bodies(seed: int, valid: list[dict[str, Any]]) -> Iterator[str]:
    """Yield bodies without end, made from `valid` messages and from the samples of every version."""
    chance = random.Random(seed)  # noqa: S311 - this randomness decides nothing secret
    models = valid + [json.loads(sample.read_text()) for sample in sorted(SAMPLES.glob("*.json"))]
    makers: list[Callable[[random.Random, dict[str, Any]], str]] = [
        _as_it_is, _odd_field, _odd_argument, _duplicate, _unknown_field, _version, _spliced, _spliced, _whole, _deep,
        _zeros, _misnamed, _enveloped,
    ]  # fmt: skip
    number = 0
    while True:
        number += 1
        model = chance.choice(models)
        yield _huge(chance, model) if number % HUGE_EVERY == 0 else chance.choice(makers)(chance, model)


def _text(fields: dict[str, str]) -> str:
    return "{" + ", ".join(f'"{name}": {value}' for name, value in fields.items()) + "}"


def _fields(model: dict[str, Any]) -> dict[str, str]:
    return {name: json.dumps(value) for name, value in model.items()}


def _as_it_is(chance: random.Random, model: dict[str, Any]) -> str:
    return json.dumps(model, indent=chance.choice([None, 0, 4]), ensure_ascii=chance.random() < 0.5)


def _odd_field(chance: random.Random, model: dict[str, Any]) -> str:
    return _text(_fields(model) | {chance.choice(NAMES): chance.choice(ODD)})


def _odd_argument(chance: random.Random, model: dict[str, Any]) -> str:
    arguments = _fields(model.get("args", {}))
    name = chance.choice([*arguments, *UNKNOWN_FIELDS])
    return _text(_fields(model) | {"args": _text(arguments | {name: chance.choice(ODD)})})


def _duplicate(chance: random.Random, model: dict[str, Any]) -> str:
    fields = _fields(model)
    name = chance.choice(list(fields))
    again = f'"{name}": {chance.choice([*ODD, *fields.values()])}'
    return _text(fields)[:-1] + ", " + ", ".join([again] * chance.choice([1, 1, 50])) + "}"


def _unknown_field(chance: random.Random, model: dict[str, Any]) -> str:
    return _text(_fields(model) | {chance.choice(UNKNOWN_FIELDS): chance.choice(ODD)})


def _version(chance: random.Random, model: dict[str, Any]) -> str:
    fields = _fields(model) | {"v": chance.choice(VERSIONS)}
    if chance.random() < 0.3:
        fields["task"] = chance.choice(ODD)
    return _text(fields)


def _spliced(chance: random.Random, model: dict[str, Any]) -> str:
    """A few characters cut out, doubled or changed."""
    text = json.dumps(model)
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(text) + 1)
        end = min(len(text), start + chance.choice([0, 1, 1, 5, 50]))
        between = chance.choice(["", text[start:end] * 2, chance.choice(ODD), chr(chance.randrange(0x300)), "\\u", '"'])
        text = text[:start] + between + text[end:]
    return text


def _zeros(chance: random.Random, model: dict[str, Any]) -> str:
    """Unset fields, written as other languages write them."""
    zeros = {name: chance.choice(ZEROS) for name in NAMES[1:] if name not in model and chance.random() < 0.7}
    return chance.choice(["", "", "\ufeff"]) + _text(zeros | _fields(model))


def _misnamed(chance: random.Random, model: dict[str, Any]) -> str:
    """A field under another name, beside the message, or as JSON within a string."""
    fields = _fields(model)
    arguments = fields.pop("args", '{"name": "a"}')
    match chance.randrange(5):
        case 0:
            return _text(fields | {chance.choice(ARGS_NAMES): arguments})
        case 1:
            return _text({"Task" if name == "task" else name: text for name, text in fields.items()})
        case 2:
            return _text(fields | {"args": json.dumps(arguments)})
        case 3:
            return _text({name: json.dumps(value) for name, value in json.loads(arguments).items()} | fields)
        case _:
            return _text(fields | {"args": f"[{arguments}]"})


def _enveloped(chance: random.Random, model: dict[str, Any]) -> str:
    """The message as other systems would wrap it, or one of their own messages."""
    text = json.dumps(model)
    match chance.randrange(6):
        case 0:
            return json.dumps(text)
        case 1:
            return b64encode(text.encode()).decode()
        case 2:
            return str(model)
        case 3:
            return json.dumps({"Type": "Notification", "TopicArn": "arn:aws:sns:eu-west-1:1:t", "Message": text})
        case 4:
            return f"[{text}]"
        case _:
            return chance.choice(ENVELOPES)


def _whole(chance: random.Random, model: dict[str, Any]) -> str:
    return chance.choice(WHOLE)


def _deep(chance: random.Random, model: dict[str, Any]) -> str:
    depth = chance.choice([10, 100, 1_000, 1_000, DEEP if chance.random() < 0.02 else 10])
    opening, closing = chance.choice([("[", "]"), ('{"a":', "}"), ("[[],", "]")])
    nested = opening * depth + "1" + closing * depth
    return chance.choice([nested, _text(_fields(model) | {"args": f'{{"name": {nested}}}'}), opening * depth])


def _huge(chance: random.Random, model: dict[str, Any]) -> str:
    """As many bytes as SQS allows, or a few less."""
    size = BATCH_BYTES - chance.choice([0, 0, 1, 200, 500_000])
    if chance.random() < 0.3:
        return chance.choice(["x", "é"]) * (size // 2)
    empty = _text(_fields(model) | {"args": _text(_fields(model.get("args", {})) | {"note": '""'})})
    return empty.replace('"note": ""', f'"note": "{"x" * (size - len(empty.encode()))}"')
