"""Celeriac: a task queue with no servers.

Declare a `Queue`, decorate a function with `@task`, deploy, and enqueue from anywhere.
"""

from typing import TYPE_CHECKING, Any

from celeriac.context import Context
from celeriac.decorator import task
from celeriac.handles import Handle, ResultNotKept, TaskFailed
from celeriac.message import Malformed
from celeriac.queue import Queue
from celeriac.registry import handle
from celeriac.retry import Backoff, Reject, Retry
from celeriac.signature import InvalidArgs
from celeriac.sqs import NoSuchQueue
from celeriac.status import Status
from celeriac.table import Outbox, Table
from celeriac.task import PartialFailure, Task

if TYPE_CHECKING:
    from celeriac.outbox import ConditionFailed, Transaction, TransactionError


def transaction() -> "Transaction":
    """A transaction of business items, events and tasks, outside a task; see `celeriac.outbox.Transaction`."""
    # The outbox needs boto3 and Powertools, which cost a producer that only enqueues 300 ms.
    from celeriac.outbox import Transaction  # noqa: PLC0415

    return Transaction()


def __getattr__(name: str) -> Any:
    """The errors of transactions, imported with what raises them; see `transaction`."""
    if name not in {"ConditionFailed", "TransactionError"}:
        raise AttributeError(f"module 'celeriac' has no attribute {name!r}")
    from celeriac import outbox  # noqa: PLC0415 - see above

    return getattr(outbox, name)


__all__ = [
    "Backoff",
    "ConditionFailed",
    "Context",
    "Handle",
    "InvalidArgs",
    "Malformed",
    "NoSuchQueue",
    "Outbox",
    "PartialFailure",
    "Queue",
    "Reject",
    "ResultNotKept",
    "Retry",
    "Status",
    "Table",
    "Task",
    "TaskFailed",
    "TransactionError",
    "handle",
    "task",
    "transaction",
]
