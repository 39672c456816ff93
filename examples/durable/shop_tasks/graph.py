"""The graph, as a durable function: two tasks side by side, then one that needs both results, and a person's answer."""

from typing import Any

from aws_durable_execution_sdk_python import DurableContext, durable_execution
from aws_durable_execution_sdk_python.config import Duration, WaitForCallbackConfig
from aws_durable_execution_sdk_python.serdes import JsonSerDes
from aws_durable_execution_sdk_python.types import WaitForCallbackContext

from celeriac import Task
from shop_tasks.work import ask_for_approval, find_price, find_shelf

# Longer than all attempts of a task. It ends the wait where nobody tells of a dead letter, as when SQS has moved it.
WITHIN_HOURS = WaitForCallbackConfig(timeout=Duration.from_hours(6), serdes=JsonSerDes())
WITHIN_DAYS = WaitForCallbackConfig(timeout=Duration.from_days(7), serdes=JsonSerDes())


@durable_execution
def handler(event: dict[str, Any], context: DurableContext) -> dict[str, Any]:
    """Sell an article, if somebody agrees. The execution fails if a task has no result, or no answer comes in time."""
    article = event["article"]
    found = context.parallel(
        [
            lambda branch: activity(branch, find_shelf, article=article),
            lambda branch: activity(branch, find_price, article=article),
        ],
        name="look up",
    )
    found.throw_if_error()
    shelf, cents = found.get_results()
    approved = activity(context, ask_for_approval, WITHIN_DAYS, article=article, shelf=shelf, cents=cents)
    return {"shelf": shelf, "cents": cents, "approved": approved}


def activity(
    context: DurableContext,
    task: Task[..., Any, None],
    config: WaitForCallbackConfig = WITHIN_HOURS,
    **arguments: Any,
) -> Any:
    """Enqueue a task, and wait for what it tells. Raises CallbackError if it has no result, or is late."""

    def submit(callback: str, _context: WaitForCallbackContext) -> None:
        """Lambda may call this again, with the same callback."""
        task.enqueue(callback=callback, **arguments)

    return context.wait_for_callback(submit, name=task.name, config=config)
