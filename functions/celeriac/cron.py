"""Recurring tasks: what a schedule may say, and the message that it sends each time.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
"""

import re

import msgspec

from celeriac.message import FIRST_VERSION

# Scheduler puts the time for which the firing was meant in its place, not the time at which it comes.
SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"
# A message's id holds 128 characters, 21 of them for `@` and the time.
MOST_NAME_CHARACTERS = 100

_RATE = re.compile(r"rate\((?:1 (?:minute|hour|day)|(?!0*1 )0*[1-9]\d{0,4} (?:minutes|hours|days))\)")
_CRON = re.compile(r"cron\(([^()]*)\)")
_FIELD = re.compile(r"[0-9A-Za-z,\-*/?#]+")
_CRON_FIELDS = 6
_DAY_OF_MONTH, _DAY_OF_WEEK = 2, 4


def problem(expression: str) -> str | None:
    """What keeps `expression` from being a schedule's; None if nothing does. Scheduler itself checks the ranges."""
    if _RATE.fullmatch(expression):
        return None
    written = _CRON.fullmatch(expression)
    if written is None:
        return 'write e.g. "rate(5 minutes)", "rate(1 hour)" or "cron(0 3 * * ? *)"'
    fields = written[1].split()
    if len(fields) != _CRON_FIELDS or not all(_FIELD.fullmatch(field) for field in fields):
        return "a cron has six fields: minutes hours day-of-month month day-of-week year"
    if (fields[_DAY_OF_MONTH] == "?") == (fields[_DAY_OF_WEEK] == "?"):
        return "one of day-of-month and day-of-week must be `?`, and not both"
    return None


def message(task: str, scheduled_time: str = SCHEDULED_TIME) -> str:
    """The message of one firing. Task and scheduled time make its id and key: a second firing is a duplicate."""
    firing = f"{task}@{scheduled_time}"
    return msgspec.json.encode({"v": FIRST_VERSION, "id": firing, "task": task, "key": firing}).decode()
