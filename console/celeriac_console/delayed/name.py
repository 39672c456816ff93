"""The schedule that an operator names."""

import re

from celeriac.aws import scheduler
from celeriac.declare import registry
from celeriac.declare.reference import InvalidReferenceError, parse
from celeriac.model.settings import stage
from celeriac_console.application.loading import load
from celeriac_console.delayed.waiting import Waiting, find
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.next_steps import command

# https://docs.aws.amazon.com/scheduler/latest/APIReference/API_GetSchedule.html
_NAME = re.compile(r"[0-9a-zA-Z_.-]{1,64}")


def named(text: str) -> Waiting:
    """The schedule with this name, or that of the first attempt of the task with this reference or id.

    Raises UserError if there is none. The name of a later attempt's schedule can't be computed from the id.
    """
    one = find(text) if _NAME.fullmatch(text) else None
    if one is not None:
        return one
    load()
    try:
        parts = parse(text)
        tasks, id_ = [registry.tasks[parts.task]] if parts.task in registry.tasks else [], parts.id
    except InvalidReferenceError:
        tasks, id_ = list(registry.tasks.values()), text
    for task in tasks:
        for queue in task.all_queues:
            one = find(scheduler.first_name(queue.physical_name(stage()), task.name, id_))
            if one is not None:
                return one
    raise UserError(
        f"no schedule {text}: it has fired or was cancelled, or it is the id of a task that has run already and "
        f"is retried: {command('delayed', 'list')} shows the names"
    )
