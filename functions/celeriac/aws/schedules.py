"""The one-time schedules of long delays: listed page by page, looked at one by one, deleted.

A page has names only. When a schedule fires and what it sends takes a call for each.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from celeriac.aws.client import client
from celeriac.model import names, settings

if TYPE_CHECKING:
    from mypy_boto3_scheduler.type_defs import GetScheduleOutputTypeDef

# https://docs.aws.amazon.com/scheduler/latest/APIReference/API_ListSchedules.html
PAGE = 100
"""The most names of a page."""


class Page(NamedTuple):
    """Some names, in the order in which Scheduler lists them."""

    names: list[str]
    next: str | None
    """The token of the next page; None if this is the last one."""


class Count(NamedTuple):
    """A number of schedules."""

    number: int
    is_more: bool
    """Whether there are more than were counted."""


def page(prefix: str = "", token: str | None = None) -> Page:
    """Read a page of the names that begin with `prefix`: the first one, or that of a token.

    A group that isn't deployed has no schedules.
    """
    scheduler = client("scheduler")
    optional: Any = {"NamePrefix": prefix, "NextToken": token}
    try:
        answer = scheduler.list_schedules(
            GroupName=names.schedule_group(settings.stage()),
            MaxResults=PAGE,
            **{name: value for name, value in optional.items() if value},
        )
    except scheduler.exceptions.ResourceNotFoundException:
        return Page([], None)
    return Page([schedule["Name"] for schedule in answer["Schedules"]], answer.get("NextToken"))


def pages(prefix: str = "") -> Iterator[Page]:
    """Read all pages of the names that begin with `prefix`."""
    token = None
    while True:
        here = page(prefix, token)
        yield here
        if (token := here.next) is None:
            return


def count(prefix: str = "", *, most: int, until: datetime | None = None) -> Count:
    """Count the schedules whose names begin with `prefix`, no further than `most`. No page is begun after `until`."""
    number, is_more = 0, False
    for here in pages(prefix):
        number += len(here.names)
        is_more = here.next is not None or number > most
        if number >= most or (until is not None and datetime.now(UTC) > until):
            break
    return Count(min(number, most), is_more)


def found(name: str) -> "GetScheduleOutputTypeDef | None":
    """Read a schedule; None if there is none of that name."""
    scheduler = client("scheduler")
    try:
        return scheduler.get_schedule(Name=name, GroupName=names.schedule_group(settings.stage()))
    except scheduler.exceptions.ResourceNotFoundException:
        return None


def fires_at(schedule: "GetScheduleOutputTypeDef") -> datetime | None:
    """When a one-time schedule of ours fires; None for any other kind of schedule."""
    expression = schedule["ScheduleExpression"]
    if not expression.startswith("at(") or schedule.get("ScheduleExpressionTimezone", "UTC") != "UTC":
        return None
    return datetime.fromisoformat(expression[len("at(") : -1]).replace(tzinfo=UTC)


def delete(name: str) -> bool:
    """Delete a schedule. Returns whether it was there: one that has fired is deleted by Scheduler itself."""
    scheduler = client("scheduler")
    try:
        scheduler.delete_schedule(Name=name, GroupName=names.schedule_group(settings.stage()))
    except scheduler.exceptions.ResourceNotFoundException:
        return False
    return True
