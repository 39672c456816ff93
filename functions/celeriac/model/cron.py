"""Recurring tasks: the schedules that are allowed, and the message that a schedule sends each time.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
"""

import re
from datetime import datetime

import msgspec

from celeriac.model import aws_cron, crontab
from celeriac.model.keywords import SCHEDULED_TIME, escaped
from celeriac.model.message import FIRST_VERSION

# A message's id has at most 128 characters. `@` and the time take 21 of them.
MOST_NAME_CHARACTERS = 100

_RATE = re.compile(r"rate\((?:1 (?:minute|hour|day)|(?!0*1 )0*[1-9]\d{0,4} (?:minutes|hours|days))\)")
_CRON = re.compile(r"cron\(([^()]*)\)")
_FIELD = re.compile(r"[0-9A-Za-z,\-*/?#]+")
_CRON_FIELDS = 6
_DAY_OF_MONTH, _DAY_OF_WEEK = 2, 4
_CURE = 'write e.g. "0 3 * * *" as in a crontab, "@daily", "rate(5 minutes)" or AWS\'s "cron(0 3 * * ? *)"'


def scheduled(written: str) -> str:
    """Return `written` in the form that EventBridge Scheduler takes. Five fields are read as a crontab.

    Raises ScheduleError, whose text says what is wrong.

    >>> scheduled("30 3 * * 1-5")
    'cron(30 3 ? * MON-FRI *)'
    """
    if not isinstance(written, str):
        raise crontab.ScheduleError(_CURE)
    if written.startswith("@") or (len(written.split()) == crontab.FIELDS and "(" not in written):
        return crontab.converted(written)
    if _RATE.fullmatch(written):
        return written
    inside = _CRON.fullmatch(written)
    if inside is None:
        raise crontab.ScheduleError(_CURE)
    fields = inside[1].split()
    if len(fields) == crontab.FIELDS:
        raise crontab.ScheduleError(f'five fields are a crontab\'s, write them without cron(): "{inside[1]}"')
    if len(fields) != _CRON_FIELDS or not all(_FIELD.fullmatch(field) for field in fields):
        raise crontab.ScheduleError("a cron has six fields: minutes hours day-of-month month day-of-week year")
    if (fields[_DAY_OF_MONTH] == "?") == (fields[_DAY_OF_WEEK] == "?"):
        raise crontab.ScheduleError("one of day-of-month and day-of-week must be `?`, and not both")
    for problem in aws_cron.problems(fields):
        raise crontab.ScheduleError(problem)
    if aws_cron.never_fires(fields):
        raise crontab.ScheduleError("its months have no such day")
    return written


def last_year(schedule: str) -> int | None:
    """Return the last year in which a schedule fires, if it has one; None for a rate."""
    inside = _CRON.fullmatch(schedule)
    return aws_cron.last_year(inside[1].split()) if inside is not None else None


def message(task: str, scheduled_time: str = SCHEDULED_TIME) -> str:
    """Return the message of one firing. Its id and key are the task and the scheduled time.

    So a second firing for the same time is a duplicate.
    """
    # A task's name is any text, so it is escaped: no other keyword of Scheduler may stand in the message.
    name = escaped(msgspec.json.encode(task).decode()[1:-1])
    firing = f"{name}@{scheduled_time}"
    return f'{{"v":{FIRST_VERSION},"id":"{firing}","task":"{name}","key":"{firing}"}}'


def planned_for(task: str, message_id: str) -> datetime | None:
    """Return the time for which a firing was planned, by the id of its message; None for any other message."""
    name, _, written = message_id.rpartition("@")
    try:
        planned = datetime.fromisoformat(written) if name == task else None
    except ValueError:
        return None
    return planned if planned is not None and planned.tzinfo is not None else None
