"""Celeriac: a task queue with no servers.

Declare a `Queue`, decorate a function with `@task`, deploy, and enqueue from anywhere.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from celeriac.aws.sqs import NoSuchQueueError
from celeriac.declare.bound import RESULT, Bound
from celeriac.declare.context import Context
from celeriac.declare.decorator import task
from celeriac.declare.handle import Handle, ResultNotKeptError, Superseded, TaskCancelled, TaskFailedError
from celeriac.declare.leaving import LeavesQueueError
from celeriac.declare.reference import InvalidReferenceError
from celeriac.declare.registry import handle
from celeriac.declare.signature import InvalidArgumentsError
from celeriac.declare.task import PartialFailureError, Task
from celeriac.enqueue.opening import Opening
from celeriac.hooks.hook import Hooks
from celeriac.leases.status import Status
from celeriac.model.aws_event import AwsEvent
from celeriac.model.configure import configure
from celeriac.model.errors import CeleriacError, NotConfiguredError
from celeriac.model.event import Event, InvalidEventError
from celeriac.model.following import BatchError
from celeriac.model.given import AlreadyConfiguredError
from celeriac.model.limits import Breaker, Concurrent, Rate
from celeriac.model.message import MalformedMessageError
from celeriac.model.once import Debounce, Unique
from celeriac.model.queue import Queue, RetiredQueueError
from celeriac.model.retry import Backoff, Reject, Retry, Throttled
from celeriac.model.stop import Cancelled
from celeriac.model.table import Outbox, Table
from celeriac.model.version import VERSION

if TYPE_CHECKING:
    from celeriac.compose.batch import Batch, batch, batch_of
    from celeriac.compose.chain import Chain, ChainError, ChainHandle, ChainStatus, chain
    from celeriac.enqueue.action import TransactionError
    from celeriac.enqueue.commit import ConditionFailedError
    from celeriac.enqueue.transaction import Transaction
    from celeriac.flow.batches.known import KnownBatch
    from celeriac.flow.batches.status import BatchStatus, DeadMember


_LATER = {
    "celeriac.enqueue.commit": ("ConditionFailedError", "TransactionError"),
    "celeriac.compose.batch": ("Batch", "batch", "batch_of"),
    "celeriac.compose.chain": ("Chain", "ChainError", "ChainHandle", "ChainStatus", "chain"),
    "celeriac.flow.batches.known": ("KnownBatch",),
    "celeriac.flow.batches.status": ("BatchStatus", "DeadMember"),
}
"""What is imported when it is used: it needs boto3 and Powertools, 300 ms."""
__version__ = VERSION


def transaction() -> "Transaction":
    """Return a transaction of business items, events and tasks, for use outside a task; see the class `Transaction`.

    Enter it with `with celeriac.transaction() as tx:`, or in async code with `async with`.
    """
    return cast("Transaction", Opening())


def __getattr__(name: str) -> Any:
    """Import what few programs need when it is used."""
    home = next((module for module, its in _LATER.items() if name in its), None)
    if home is None:
        raise AttributeError(f"module 'celeriac' has no attribute {name!r}")
    found = getattr(import_module(home), name)
    globals()[name] = found
    return found


__all__ = [
    "RESULT",
    "AlreadyConfiguredError",
    "AwsEvent",
    "Backoff",
    "Batch",
    "BatchError",
    "BatchStatus",
    "Bound",
    "Breaker",
    "Cancelled",
    "CeleriacError",
    "Chain",
    "ChainError",
    "ChainHandle",
    "ChainStatus",
    "Concurrent",
    "ConditionFailedError",
    "Context",
    "DeadMember",
    "Debounce",
    "Event",
    "Handle",
    "Hooks",
    "InvalidArgumentsError",
    "InvalidEventError",
    "InvalidReferenceError",
    "KnownBatch",
    "LeavesQueueError",
    "MalformedMessageError",
    "NoSuchQueueError",
    "NotConfiguredError",
    "Outbox",
    "PartialFailureError",
    "Queue",
    "Rate",
    "Reject",
    "ResultNotKeptError",
    "RetiredQueueError",
    "Retry",
    "Status",
    "Superseded",
    "Table",
    "Task",
    "TaskCancelled",
    "TaskFailedError",
    "Throttled",
    "TransactionError",
    "Unique",
    "__version__",
    "batch",
    "batch_of",
    "chain",
    "configure",
    "handle",
    "task",
    "transaction",
]
