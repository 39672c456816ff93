"""One-time schedules as EventBridge Scheduler treats them: keywords in their input, names that stay taken, lists."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

from moto.scheduler import models
from moto.scheduler.exceptions import ValidationException

from celeriac.model.message import new_id

# Scheduler deletes a completed schedule "shortly after" its last invocation. Until then its name is taken:
# https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-delete.html
LINGERS = timedelta(minutes=1)

# https://docs.aws.amazon.com/scheduler/latest/APIReference/API_ListSchedules.html
_LONGEST_PAGE = 100
_list_schedules = models.EventBridgeSchedulerBackend.list_schedules


@contextmanager
def kept() -> Iterator[None]:
    """Let moto's Scheduler list schedules by the rules of Scheduler while the block runs."""
    with patch.object(models.EventBridgeSchedulerBackend, "list_schedules", _list):
        yield


def _list(backend: Any, group_names: Any, *others: Any, max_results: int | None = None, **more: Any) -> Any:
    """As moto does, but a group that isn't there is an error, and so is a page of more than 100."""
    for group in group_names or ():
        backend.get_schedule_group(group)
    if max_results is not None and max_results > _LONGEST_PAGE:
        raise ValidationException(f"maxResults must be at most {_LONGEST_PAGE}")
    return _list_schedules(backend, group_names, *others, max_results=max_results or _LONGEST_PAGE, **more)


def as_sent(text: str, *, scheduled_time: datetime, arn: str) -> str:
    """The input of a schedule as Scheduler sends it: it replaces its keywords, whoever wrote them.

    https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
    """
    values = {
        "schedule-arn": arn,
        "scheduled-time": scheduled_time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "execution-id": new_id(),
        "attempt-number": "1",
    }
    for name, value in values.items():
        text = text.replace(f"<aws.scheduler.{name}>", value)
    return text
