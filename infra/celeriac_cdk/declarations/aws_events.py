"""Events of AWS and the tasks that they call: whether the rules can be deployed, and the tasks can take the events."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from celeriac import Task
from celeriac.declare import schema
from celeriac.model import aws_event
from celeriac.model.errors import DeclarationError
from celeriac_cdk.declarations.fitting import cannot_fit

# A queue's policy names the rule of each of its tasks. It has 8,192 bytes at most, and a rule's ARN about 120:
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-policies.html
MOST_OF_A_QUEUE = 50
# https://docs.aws.amazon.com/eventbridge/latest/ref/events-structure.html
_TEXT = {"type": "string"}
_OF_EVERY_EVENT: dict[str, dict[str, Any]] = {
    **{f"$.{field}": _TEXT for field in aws_event.TEXTS},
    "$.time": {"type": "string", "format": "date-time"},
    "$.resources": {"type": "array", "items": _TEXT},
    "$.detail": {"type": "object"},
}


def check_aws_events(tasks: Sequence[Task[..., Any, Any]]) -> None:
    """Raise DeclarationError for a task that could take no event, and for a queue with too many such tasks."""
    called = [(task, task.on_aws) for task in tasks if task.on_aws is not None]
    for task, event in called:
        arguments = schema.of_arguments(task.signature)
        for name, path in event.args.items():
            # What stands below detail is known to its service only.
            emitted = _OF_EVERY_EVENT.get(path, {})
            if why := cannot_fit(emitted, arguments.properties[name], {}, arguments.definitions):
                raise DeclarationError(
                    f"task {task.name!r}: its parameter {name} can't take {path} of an event: {why}: change its type"
                )
    for queue, number in Counter(queue.name for task, _ in called for queue in task.all_queues).items():
        if number > MOST_OF_A_QUEUE:
            raise DeclarationError(
                f"events of AWS call {number} tasks of the queue {queue!r}, and the policy of a queue has room for "
                f"{MOST_OF_A_QUEUE}: put some of them on another queue"
            )
