"""Events of AWS in a sandbox: what a rule of EventBridge sends to a task's queue."""

import json
import re
from collections.abc import Mapping
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


def completed(event: Mapping[str, Any], *, now: datetime, account: str, region: str) -> dict[str, Any]:
    """The event with what EventBridge adds. Raises ValueError for an event that no service sends."""
    if not isinstance(event, Mapping):
        raise ValueError(f"an event is a dict, not {type(event).__name__}")
    for field in ("source", "detail-type"):
        if not isinstance(event.get(field), str):
            raise ValueError(f'the event has no {field}: each has one, such as {{"source": "aws.s3", ...}}')
    if not isinstance(event.get("detail", {}), Mapping):
        raise ValueError(f"the event's detail is a dict, not {type(event['detail']).__name__}")
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


def is_for(task: "Task[..., Any, Any]", event: Mapping[str, Any]) -> bool:
    """Whether the rule of the task matches the event."""
    return task.on_aws is not None and event_patterns.matches(task.on_aws.pattern, dict(event))


def body(task: "Task[..., Any, Any]", event: Mapping[str, Any]) -> str:
    """The message that the input transformer of a task makes of an event.

    A variable that stands alone becomes JSON; inside a text its own text. A path that the event doesn't have gives an
    empty text. LocalStack's tests have recorded this at AWS on 2024-06-11 (test_events_inputs.snapshot.json).
    """
    assert task.on_aws is not None
    paths, template = aws_event.transformer(task.name, task.on_aws)
    values = {f"<{variable}>": _found(event, path) for variable, path in paths.items()}

    def filled(part: re.Match[str]) -> str:
        text = part[0]
        if text.startswith("<"):
            return json.dumps(values[text], ensure_ascii=False, separators=(",", ":"))
        return _VARIABLE.sub(lambda variable: str(values[variable[0]]), text)

    return _PART.sub(filled, template)


def _found(event: Mapping[str, Any], path: str) -> Any:
    found: Any = event
    for field in path.split(".")[1:]:
        if not isinstance(found, Mapping) or field not in found:
            return ""
        found = found[field]
    return found
