"""A task that waits in a one-time schedule."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from celeriac.aws import schedules
from celeriac.model import names, settings
from celeriac.model.failure import error_type
from celeriac.model.message import MalformedMessageError, Message, NewerVersionError, decode

if TYPE_CHECKING:
    from mypy_boto3_scheduler.type_defs import GetScheduleOutputTypeDef

# Each name costs a call. Scheduler throttles calls of one kind beyond some hundred a second, depending on the region.
WORKERS = 8


@dataclass(frozen=True, slots=True)
class Waiting:
    """A schedule, and the message that it will send."""

    name: str
    target: str
    """The physical name of the queue; empty if it doesn't send to a queue of the stage."""
    due: datetime | None
    """When it is sent, give or take a minute; None for a schedule that isn't one-time."""
    body: str
    message: Message | None
    """None if there is a problem."""
    problem: str = ""
    """Why it isn't a task of this stage, or can't be read; empty if it is one."""

    @property
    def queue(self) -> str:
        """The queue's name as it is declared; empty if it doesn't send to a queue of the stage."""
        return names.queue_of(self.target)

    @property
    def task(self) -> str:
        """The task's name; empty if it can't be read."""
        return self.message.task if self.message is not None else ""

    @property
    def id(self) -> str:
        """The message's id; empty if it can't be read, or gets an id only when it is sent."""
        return self.message.id if self.message is not None else ""

    def as_json(self) -> dict[str, Any]:
        """What a list shows of it, for scripts. The arguments aren't in it."""
        return {
            "name": self.name,
            "task": self.task,
            "id": self.id,
            "queue": self.queue,
            "due": self.due.isoformat() if self.due is not None else None,
            "attempt": self.message.attempt if self.message is not None else None,
            "problem": self.problem,
        }


def look(some: Sequence[str]) -> list[Waiting]:
    """The schedules of these names, in this order. One that has fired meanwhile is left out."""
    with ThreadPoolExecutor(WORKERS) as pool:
        try:
            return [one for one in pool.map(find, some) if one is not None]
        finally:
            pool.shutdown(cancel_futures=True)


def find(name: str) -> Waiting | None:
    """The schedule of this name; None if there is none. What it sends may be anything, and never raises an error."""
    found = schedules.found(name)
    if found is None:
        return None
    try:
        return _read(name, found)
    except Exception as error:  # noqa: BLE001 - an oddity that nobody has foreseen must not hide the others
        return Waiting(name, "", None, "", None, f"it can't be read: {error_type(error)}")


def _read(name: str, found: "GetScheduleOutputTypeDef") -> Waiting:
    due, body = schedules.fires_at(found), found["Target"].get("Input", "")
    _, _, service, _, _, target = found["Target"]["Arn"].split(":", 5)
    if service != "sqs" or not target.startswith(names.start(settings.stage())):
        return Waiting(name, "", due, body, None, "it doesn't send to a queue of this stage")
    if due is None:
        return Waiting(name, target, None, body, None, "it isn't a one-time schedule in UTC")
    try:
        return Waiting(name, target, due, body, decode(body))
    except MalformedMessageError:
        return Waiting(name, target, due, body, None, "it sends no task's message")
    except NewerVersionError as error:
        return Waiting(name, target, due, body, None, str(error))
