"""What a durable function waits for is told to Lambda: the result of a task, or that there is none."""

import json
from functools import cache
from typing import TYPE_CHECKING

import boto3

from celeriac import Hooks
from celeriac.hooks.events import AfterOutcome, BeforeEnqueue

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

WITHOUT_RESULT = {"dead", "cancelled", "expired"}


def succeed(callback: str, result: object) -> None:
    """Let the durable function that waits for this callback go on, with a result of 256 KB at most.

    Nothing happens if the callback is closed: it was told before, by this call or another one, or its time is over.
    Raises Lambda's other errors; then Celeriac tries the task again.
    """
    try:
        _lambda().send_durable_execution_callback_success(CallbackId=callback, Result=json.dumps(result).encode())
    except _lambda().exceptions.CallbackTimeoutException:
        print("nobody waits for this callback any more")


def fail(callback: str, kind: str, message: str) -> None:
    """Raise a CallbackExternalError in the durable function that waits. Nothing happens if the callback is closed."""
    try:
        _lambda().send_durable_execution_callback_failure(
            CallbackId=callback, Error={"ErrorType": kind, "ErrorMessage": message}
        )
    except _lambda().exceptions.CallbackTimeoutException:
        print("nobody waits for this callback any more")


class Callbacks(Hooks):
    """Fails the callback of a task that ends without a result: of every task with a parameter `callback`."""

    def before_enqueue(self, event: BeforeEnqueue) -> None:
        """Note the callback in a header: the hook below isn't told the arguments, which may be unreadable."""
        callback = event.arguments.get("callback")
        if isinstance(callback, str):
            event.headers["callback"] = callback

    def after_outcome(self, event: AfterOutcome) -> None:
        """Say what became of it. The error's own text may hold what isn't for everyone, so it isn't told."""
        callback = event.headers.get("callback")
        if callback is not None and event.outcome in WITHOUT_RESULT:
            fail(callback, event.error_type or "NoResult", f"{event.task}: {event.reason or event.outcome}")


@cache
def _lambda() -> "LambdaClient":
    return boto3.client("lambda")
