"""Celeriac: a task queue with no servers.

Declare a `Queue`, decorate a function with `@task`, deploy, and enqueue from anywhere.
"""

from typing import TYPE_CHECKING, Any

from celeriac.aws.sqs import NoSuchQueueError
from celeriac.declare.context import Context
from celeriac.declare.decorator import task
from celeriac.declare.handle import Handle, ResultNotKeptError, TaskFailedError
from celeriac.declare.registry import handle
from celeriac.declare.signature import InvalidArgumentsError
from celeriac.declare.task import PartialFailureError, Task
from celeriac.hooks.hook import Hooks
from celeriac.leases.status import Status
from celeriac.model.errors import CeleriacError
from celeriac.model.message import MalformedMessageError
from celeriac.model.queue import Queue, RetiredQueueError
from celeriac.model.retry import Backoff, Reject, Retry
from celeriac.model.table import Outbox, Table

if TYPE_CHECKING:
    from celeriac.enqueue.action import TransactionError
    from celeriac.enqueue.commit import ConditionFailedError
    from celeriac.enqueue.transaction import Transaction


def transaction() -> "Transaction":
    """Return a transaction of business items, events and tasks, for use outside a task; see the class `Transaction`.

    In async code, write `async with celeriac.transaction() as tx:`.
    """
    # Transactions need boto3 and Powertools. Importing both takes 300 ms, which a producer that only enqueues saves.
    from celeriac.enqueue.transaction import Transaction  # noqa: PLC0415

    return Transaction()


def __getattr__(name: str) -> Any:
    """Import the errors of transactions when they are used; see `transaction`."""
    if name not in {"ConditionFailedError", "TransactionError"}:
        raise AttributeError(f"module 'celeriac' has no attribute {name!r}")
    from celeriac.enqueue import commit as home  # noqa: PLC0415 - see `transaction`

    return getattr(home, name)


__all__ = [
    "Backoff",
    "CeleriacError",
    "ConditionFailedError",
    "Context",
    "Handle",
    "Hooks",
    "InvalidArgumentsError",
    "MalformedMessageError",
    "NoSuchQueueError",
    "Outbox",
    "PartialFailureError",
    "Queue",
    "Reject",
    "ResultNotKeptError",
    "RetiredQueueError",
    "Retry",
    "Status",
    "Table",
    "Task",
    "TaskFailedError",
    "TransactionError",
    "handle",
    "task",
    "transaction",
]
