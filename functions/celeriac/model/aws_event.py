"""Events of AWS that call a task: the declaration, and the input transformer that EventBridge makes messages with.

This module is pure data. https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from celeriac.model.errors import DeclarationError
from celeriac.model.message import FIRST_VERSION

# https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_InputTransformer.html
MOST_PATHS = 100
MOST_TEMPLATE = 8192
MOST_PATH = 256
# A message's id has at most 128 characters. `@` and the event's id, a UUID, take 37 of them.
MOST_NAME_CHARACTERS = 91

TEXTS = ("version", "id", "detail-type", "source", "account", "time", "region")
"""The fields of every event that hold a text."""
FIELDS = (*TEXTS, "resources", "detail")
"""The fields of every event. https://docs.aws.amazon.com/eventbridge/latest/ref/events-structure.html"""
EVENT_ID = "$.id"

_PATH = re.compile(r"\$(\.[A-Za-z0-9_-]+)+")
_CURE = 'write the fields behind a $, with a dot before each, such as "$.detail.bucket.name"'


class AwsEventError(DeclarationError):
    """An AwsEvent was declared in a way that EventBridge or Celeriac doesn't support."""


class Transformer(NamedTuple):
    """An input transformer, as EventBridge takes it."""

    paths: dict[str, str]
    """A path of the event for each variable."""
    template: str
    """The message, with `<variable>` in the place of a value."""


class AwsEvent(msgspec.Struct, frozen=True):
    """Events on the account's default bus, of which each one that matches `pattern` calls a task.

    Raises AwsEventError for a pattern that EventBridge would refuse, and for a path that it can't follow.
    """

    pattern: Mapping[str, Any]
    """An event pattern, such as `{"source": ["aws.s3"], "detail-type": ["Object Created"]}`."""
    args: Mapping[str, str] = msgspec.field(default_factory=dict)
    """A path of the event for each parameter of the task, such as `{"bucket": "$.detail.bucket.name"}`."""

    def __post_init__(self) -> None:
        # Only a program with such a task needs it: 3 ms.
        from celeriac.model import event_pattern  # noqa: PLC0415

        for problem in (*event_pattern.problems(self.pattern), *_problems_of_args(self.args)):
            raise AwsEventError(f"AwsEvent: {problem}")

    @property
    def sources(self) -> str:
        """The values of `source` and `detail-type` in the pattern, for lists: `aws.s3 Object Created`."""
        named = [self.pattern.get(field) for field in ("source", "detail-type")]
        texts = [", ".join(str(one) for one in values) for values in named if isinstance(values, list)]
        return " ".join(texts) or "a pattern"


def _problems_of_args(args: object) -> Iterator[str]:
    if not isinstance(args, Mapping):
        yield f'args is {args!r}, write a dict: args={{"bucket": "$.detail.bucket.name"}}'
        return
    for name, path in args.items():
        if not isinstance(name, str):
            yield f"args has {name!r}: its keys are names of parameters"
        elif not isinstance(path, str):
            yield f"args[{name!r}] is {path!r}, and a path is a text: {_CURE}"
        elif not _PATH.fullmatch(path):
            yield f"args[{name!r}] is {path!r}, which isn't a plain path: {_CURE}"
        elif len(path) > MOST_PATH:
            yield f"args[{name!r}] has {len(path)} characters, and EventBridge takes {MOST_PATH}: take a field above it"
        else:
            yield from _problems_of_start(name, path)


def _problems_of_start(name: str, path: str) -> Iterator[str]:
    _, first, *below = path.split(".")
    if first not in FIELDS:
        yield f"args[{name!r}] is {path!r}, and no event has {first!r}; it has {', '.join(FIELDS)}"
    elif below and first != "detail":
        yield f"args[{name!r}] is {path!r}, and only detail has fields below it: write $.{first}"


def transformer(task: str, event: AwsEvent) -> Transformer:
    """The input transformer that makes the task's message of an event. Its id is the task and the event's id.

    So the second copy of an event is a duplicate: EventBridge delivers an event once or more often.
    """
    variables = {EVENT_ID: "id"}
    for path in event.args.values():
        variables.setdefault(path, f"p{len(variables)}")
    name = _json(task)
    args = ",".join(f"{_json(each)}:<{variables[path]}>" for each, path in event.args.items())
    template = f'{{"v":{FIRST_VERSION},"task":{name},"id":{name[:-1]}@<id>","args":{{{args}}}}}'
    return Transformer({variable: path for path, variable in variables.items()}, template)


def is_id(task: str, message_id: str) -> bool:
    """Whether a message with this id was made of an event, by the transformer of the task."""
    return message_id.startswith(f"{task}@")


def _json(text: str) -> str:
    return msgspec.json.encode(text).decode()
