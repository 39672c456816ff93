"""One queue: its state, its last hour, its tasks and its numbers; pause and resume."""

from datetime import timedelta
from typing import Any

from celeriac.declare import registry
from celeriac.model import settings
from celeriac.model.queue import Queue
from celeriac_console.stage import consumers
from celeriac_console.terminal.next_steps import command
from celeriac_console.terminal.times import duration_text
from celeriac_console.web.activity.noted import noted
from celeriac_console.web.limits_shown import shown
from celeriac_console.web.live.deploys import last
from celeriac_console.web.live.figures import Figures
from celeriac_console.web.queue_state.row import rows
from celeriac_console.web.screen import Action, Asked, Done, Room, Screen, View
from celeriac_console.web.shown import part


def read(asked: Asked) -> View:
    """The queue that the path names."""
    queue = _queue(asked)
    live, identity = asked.shared.live, asked.shared.identity
    now = live.now()
    problems = now.problems()
    # With the others, because an alarm belongs to the queue with the longest name that fits.
    (row,) = (each for each in rows(live.queues, now, identity.stage) if each.queue == queue.name)
    data: dict[str, Any] = {
        "row": row,
        "chart": _chart(row.figures) if row.figures is not None else None,
        "since_deploy": _since_deploy(row.figures, asked),
        "deployed_at": last(now.deploys.value),
        "tasks": sorted(name for name, task in registry.tasks.items() if task.queue.name == queue.name),
        "limits": [shown(each) for each in now.limits.value.rows if queue.name in each.queues],
        "numbers": _numbers(queue),
        "physical": queue.physical_name(settings.stage()),
        "is_local": identity.is_local,
        "read_at": now.counts.at,
        "unseen": problems,
    }
    return View(data, command("queues"), title=queue.name)


def pause(asked: Asked) -> Done:
    """Stop the consumer."""
    return _switch(asked, on=False)


def resume(asked: Asked) -> Done:
    """Start it again."""
    return _switch(asked, on=True)


def _switch(asked: Asked, *, on: bool) -> Done:
    queue = _queue(asked)
    with noted(asked.operator, "resume" if on else "pause", {"queue": queue.name}) as outcome:
        outcome.said = consumers.switch(queue, on=on).lower()
    asked.shared.live.consumers.get(fresh=True)
    said = f"{queue.name} is {'resumed' if on else 'paused'}: {consumers.takes(queue, on=on)}."
    return Done(said if on else f"{said} Waiting messages stay in the queue.", f"/queues/{part(queue.name)}")


def _queue(asked: Asked) -> Queue:
    name = asked.path["queue"]
    found = registry.queues().get(name)
    if found is None:
        raise LookupError(f"No queue is named {name!r}.")
    return found


def _chart(figures: Figures) -> dict[str, Any]:
    begun = int(figures.begins_at.timestamp())
    return {
        "times": [begun + 60 * number for number in range(len(figures.succeeded))],
        "series": [
            {"name": "succeeded", "kind": "good", "values": figures.succeeded},
            {"name": "failed", "kind": "bad", "values": figures.failed},
        ],
    }


def _since_deploy(figures: Figures | None, asked: Asked) -> tuple[float, float] | None:
    deployed_at = last(asked.shared.live.deploys.get().value)
    return figures.failed_since(deployed_at) if figures is not None and deployed_at is not None else None


def _numbers(queue: Queue) -> dict[str, str]:
    """The numbers of the declaration that say how it behaves."""
    most = (
        f"{queue.max_concurrency} invocations" if queue.max_concurrency is not None else "as many as Lambda scales to"
    )
    if queue.is_on_fargate:
        most = f"{queue.workers[0]} to {queue.workers[1]} containers"
    pollers = f"{queue.pollers[0]} to {queue.pollers[1]} pollers" if queue.pollers else most
    times: dict[str, timedelta] = {
        "Timeout of a batch" if queue.is_on_fargate else "Timeout of an invocation": queue.timeout,
        "Visibility timeout": queue.visibility,
        "Retention": queue.retention,
        "Retention of dead letters": queue.dead_letter_retention,
        "Alarm for the oldest message after": queue.oldest_age,
    }
    return {
        "Kind": "FIFO" if queue.fifo else "standard",
        f"At once, in one {'container' if queue.is_on_fargate else 'invocation'}": f"{queue.concurrency}",
        "At once, in all": pollers,
        "Messages of a batch": f"{queue.batch}",
        **{name: duration_text(length) for name, length in times.items()},
        "Receives before SQS gives up": f"{queue.receive_limit}",
        "Memory": f"{queue.memory} MB",
        "Its alarms are": "pages" if queue.urgent else "tickets",
        **({"Retired": "nothing new is sent to it"} if queue.retired else {}),
    }


ROOM = Room(
    (Screen("/queues/{queue}", "Queue", "queue.html", read, is_live=True),),
    (Action("/queues/{queue}/pause", pause), Action("/queues/{queue}/resume", resume)),
)
