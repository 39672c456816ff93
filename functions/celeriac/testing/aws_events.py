"""Events of AWS in a sandbox: what a rule of EventBridge sends to a task's queue."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from celeriac.model import aws_event
from celeriac.testing import event_patterns

if TYPE_CHECKING:
    from celeriac.declare.task import Task

# A text of the template, or a variable that stands alone. Texts come first: a variable inside one is part of it.
_PART = re.compile(r'"(?:\\.|[^"\\])*"|<[A-Za-z0-9_-]+>')
_VARIABLE = re.compile(r"<([A-Za-z0-9_-]+)>")


def completed(event: Any, *, now: datetime, account: str, region: str) -> dict[str, Any]:
    """The event with what EventBridge adds.

    Raises ValueError for an event that no service sends, TypeError for one that isn't a dict.
    """
    if not isinstance(event, Mapping) or not isinstance(event.get("detail", {}), Mapping):
        raise TypeError("an event is a dict, and so is its detail")
    if missing := [field for field in ("source", "detail-type") if not isinstance(event.get(field), str)]:
        raise ValueError(f'the event has no {missing[0]}: each has one, such as {{"source": "aws.s3", ...}}')
    if unknown := sorted(set(event) - set(aws_event.FIELDS)):
        raise ValueError(
            f"no event has {', '.join(unknown)} beside its source: what a service tells stands in detail; an event has "
            f"{', '.join(aws_event.FIELDS)}"
        )
    added = {
        "version": "0",
        "id": str(uuid4()),
        "account": account,
        "time": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": region,
        "resources": [],
        "detail": {},
    }
    whole: dict[str, Any] = json.loads(json.dumps(added | dict(event)))  # as it travels
    return whole


def messages(
    tasks: "Iterable[Task[..., Any, Any]]", event: Mapping[str, Any]
) -> "Iterator[tuple[Task[..., Any, Any], str]]":
    """Each task whose rule matches the event, and the message that its queue gets."""
    for task in tasks:
        if task.on_aws is not None and event_patterns.matches(task.on_aws.pattern, dict(event)):
            yield task, filled(aws_event.transformer(task.name, task.on_aws), event)


def filled(transformer: aws_event.Transformer, event: Mapping[str, Any]) -> str:
    """What an input transformer makes of an event.

    A variable that stands alone becomes JSON; inside a text its own text. A path that the event doesn't have gives an
    empty text. LocalStack's tests have recorded this at AWS on 2024-06-11 (test_events_inputs.snapshot.json).
    """
    values = {f"<{variable}>": _found(event, path) for variable, path in transformer.paths.items()}

    def fill(part: re.Match[str]) -> str:
        text = part[0]
        if text.startswith("<"):
            return json.dumps(values[text], ensure_ascii=False, separators=(",", ":"))
        return _VARIABLE.sub(lambda variable: str(values[variable[0]]), text)

    return _PART.sub(fill, transformer.template)


def _found(event: Mapping[str, Any], path: str) -> Any:
    found: Any = event
    for field in path.split(".")[1:]:
        if not isinstance(found, Mapping) or field not in found:
            return ""
        found = found[field]
    return found
