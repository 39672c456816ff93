"""The screens, one file each. A new one is a file here, a template, and a line in `ROOMS`. The menu has this order."""

from celeriac_console.web.screen import Room
from celeriac_console.web.screens import (
    activity,
    batches,
    dead_letters,
    jobs,
    letter,
    letters_work,
    limits,
    outbox,
    overview,
    quarantine,
    queue,
    runs,
    schedules,
    status,
    tasks,
)

ROOMS: tuple[Room, ...] = (
    overview.ROOM,
    dead_letters.ROOM,
    letter.ROOM,
    letters_work.ROOM,
    jobs.ROOM,
    queue.ROOM,
    tasks.ROOM,
    runs.ROOM,
    status.ROOM,
    schedules.ROOM,
    outbox.ROOM,
    quarantine.ROOM,
    limits.ROOM,
    batches.ROOM,
    activity.ROOM,
)
