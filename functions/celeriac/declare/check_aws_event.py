"""Checks of what a task's declaration says about the events of AWS that call it."""

from collections.abc import Iterable, Sequence
from typing import Any

from celeriac.declare.task import Task
from celeriac.model import aws_event
from celeriac.model.aws_event import AwsEvent
from celeriac.model.errors import TaskError

# EventBridge replaces `<...>`, and how it treats an escaped character of a template isn't documented.
_UNFIT = frozenset('<>"\\')


def check_aws_event(made: Task[..., Any, Any], event: object, fields: Sequence[str], required: Sequence[str]) -> None:
    """Raise TaskError, naming the task and the cure.

    event: what its on_aws is. fields: the task's parameters. required: those of them without a default.
    """
    for problem in _problems(made, event, fields, required):
        raise TaskError(f"task {made.name!r}: {problem}")


def _problems(
    made: Task[..., Any, Any], event: object, fields: Sequence[str], required: Sequence[str]
) -> Iterable[str]:
    if not isinstance(event, AwsEvent):
        yield f'on_aws is {event!r}, write on_aws=AwsEvent({{"source": ["aws.s3"]}}, args={{...}})'
        return
    if made.queue.fifo:
        yield (
            f"a rule of EventBridge would send every event to one group of the FIFO queue {made.queue.name!r}, and in "
            "no order: put the task on a standard queue, and let it enqueue there"
        )
    for name, other in (("cron", made.cron), ("on", made.on)):
        if other is not None:
            yield f"it has on_aws and {name}: a task is called by one of them, declare a second task for the other"
    if len(made.name) > aws_event.MOST_NAME_CHARACTERS or set(made.name) & _UNFIT:
        most = aws_event.MOST_NAME_CHARACTERS
        yield f'with on_aws its name may have {most} characters, without < > " and \\: give the task another name='
    yield from _problems_of_args(made, event, fields, required)


def _problems_of_args(
    made: Task[..., Any, Any], event: AwsEvent, fields: Sequence[str], required: Sequence[str]
) -> Iterable[str]:
    if unknown := [name for name in event.args if name not in fields]:
        known = ", ".join(fields) or "none"
        yield f"args of its AwsEvent names {', '.join(unknown)}, which is no parameter of it; it has {known}"
    if missing := [name for name in required if name not in event.args]:
        yield (
            f"args of its AwsEvent has no path for {', '.join(missing)}: write one, such as "
            f'{{"{missing[0]}": "$.detail.{missing[0]}"}}, or give the parameter a default'
        )
    made_of = aws_event.transformer(made.name, event)
    if len(made_of.paths) > aws_event.MOST_PATHS:
        yield (
            f"args of its AwsEvent has {len(made_of.paths)} paths with that of the event's id, and EventBridge takes "
            f"{aws_event.MOST_PATHS}: take a field above them, such as $.detail, as a dict"
        )
    if len(made_of.template) > aws_event.MOST_TEMPLATE:
        yield (
            f"its message's template has {len(made_of.template)} characters, and EventBridge takes "
            f"{aws_event.MOST_TEMPLATE}: take fewer fields, or shorten the names of its parameters"
        )
