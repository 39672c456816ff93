"""A row for each queue: its messages, its consumer and its alarm."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from celeriac.aws import schedules, sqs
from celeriac.declare import registry
from celeriac.model import settings
from celeriac.model.queue import Queue
from celeriac_console.application.limited import limits
from celeriac_console.limits.items import NoFlowTableError
from celeriac_console.limits.rows import read_rows as read_limits
from celeriac_console.stage.clients import client
from celeriac_console.stage.consumers import state

NOT_DEPLOYED = "not deployed"
MOST_SCHEDULED = 10 * schedules.PAGE
"""The most tasks in schedules that are counted, a call for each hundred."""
COUNTS = {"waiting": "", "delayed": "Delayed", "in_flight": "NotVisible"}

type Row = Mapping[str, Any]
"""A queue with its counts of messages and schedules, the age of its oldest message, the state of its consumer and of
its alarm, and the limits of its tasks, each with about how many tasks wait for it."""


def read_rows() -> list[Row]:
    """A row for each declared queue, in the order of the declarations."""
    declared = list(registry.queues().values())
    with ThreadPoolExecutor(max(1, len(declared)) + 1) as pool:
        waiting = pool.submit(_waiting)
        made = list(pool.map(_row, declared))
    return [row | {"limits": waiting.result().get(row["queue"], {})} for row in made]


def _waiting() -> dict[str, dict[str, int | None]]:
    """About how many tasks wait for each limit of a queue's tasks, by the queue's name, then by the limit's.

    None for a limit with a `by`, for a Breaker, and if it can't be seen. No call is made if no task has a limit.
    """
    declared = limits()
    try:
        known = {row.name: row.waiting for row in read_limits(declared)}
    except (ClientError, NoFlowTableError):  # as with schedules
        known = {}
    found: dict[str, dict[str, int | None]] = {}
    for name, limited in declared.items():
        for queue in limited.queues:
            found.setdefault(queue, {})[name] = known.get(name)
    return found


def _row(queue: Queue) -> dict[str, Any]:
    stage = settings.stage()
    try:
        there = sqs.counts(sqs.url(queue.physical_name(stage)))
        dead = sqs.counts(sqs.url(queue.dead_letter_name(stage)))
    except sqs.NoSuchQueueError:
        nothing = dict.fromkeys([*COUNTS, "scheduled", "scheduled_is_more", "dead", "oldest_seconds"])
        return {"queue": queue.name, **nothing, "consumer": NOT_DEPLOYED, "alarm": "none"}
    return {
        "queue": queue.name,
        **{count: there[f"ApproximateNumberOfMessages{kind}"] for count, kind in COUNTS.items()},
        **_scheduled(queue),
        "dead": sum(dead.values()),
        "oldest_seconds": _oldest(queue.physical_name(stage)),
        "consumer": state(queue),
        "alarm": _alarm(queue.dead_letter_name(stage)),
    }


def _scheduled(queue: Queue) -> dict[str, Any]:
    """How many tasks wait in schedules, and whether there are more than were counted. None if it can't be seen."""
    if queue.fifo:
        return {"scheduled": 0, "scheduled_is_more": False}  # messages of FIFO queues are never scheduled
    try:
        number, is_more = schedules.count(f"{queue.name}.", most=MOST_SCHEDULED)
    except ClientError:  # not permitted, or throttled: the other figures are worth showing
        number, is_more = None, None
    return {"scheduled": number, "scheduled_is_more": is_more}


def _oldest(name: str) -> int | None:
    """The age of the oldest message in seconds, from the newest figure of CloudWatch; None if there is no data."""
    now = datetime.now(UTC)
    answer = client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SQS",
        MetricName="ApproximateAgeOfOldestMessage",
        Dimensions=[{"Name": "QueueName", "Value": name}],
        StartTime=now - timedelta(minutes=10),
        EndTime=now,
        Period=60,
        Statistics=["Maximum"],
    )
    points = sorted(answer.get("Datapoints", []), key=lambda point: point["Timestamp"])
    return int(points[-1]["Maximum"]) if points else None


def _alarm(name: str) -> str:
    alarms = client("cloudwatch").describe_alarms(AlarmNames=[name]).get("MetricAlarms", [])
    return {"OK": "ok", "ALARM": "ALARM"}.get(alarms[0]["StateValue"], "no data") if alarms else "none"
