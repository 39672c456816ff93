"""The alarms of open breakers. Their tasks wait, and neither the age nor the dead letters of a queue tell of it."""

from collections.abc import Sequence
from datetime import timedelta
from math import ceil
from typing import Any

from constructs import Construct

from celeriac import Task
from celeriac.declare.declared_limits import breakers_of
from celeriac.model.limits import Breaker
from celeriac.model.queue import Queue
from celeriac.observe.metric_names import Metric
from celeriac_cdk.monitoring.alarms import Alarms
from celeriac_cdk.monitoring.metrics import FIVE_MINUTES, of_limit
from celeriac_cdk.monitoring.notice import Notice
from celeriac_cdk.monitoring.times import in_words

# One of less than five minutes is in two periods at most. It needs nobody: that is what a breaker is for.
_OPEN = 3
# CloudWatch's limit: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
_LONGEST = timedelta(days=1)


def watch_breakers(scope: Construct, alarms: Alarms, tasks: Sequence[Task[..., Any, Any]]) -> None:
    """Build a ticket for each breaker that stays open. If an urgent queue has tasks of it, a page comes when they have
    waited for as long as that queue's tasks should not.
    """
    for breaker in breakers_of(tasks):
        theirs = [task for task in tasks if breaker in task.limits]
        queues = {queue.name: queue for task in theirs for queue in task.all_queues}
        _watch(scope, alarms, breaker, periods=_OPEN, page=False)
        if urgent := [queue for queue in queues.values() if queue.urgent]:
            _watch(scope, alarms, breaker, periods=_too_long(urgent), page=True)


def _too_long(queues: Sequence[Queue]) -> int:
    shortest = min(queue.oldest_age for queue in queues)
    return max(_OPEN, ceil(min(shortest, _LONGEST) / FIVE_MINUTES))


def _watch(scope: Construct, alarms: Alarms, breaker: Breaker, *, periods: int, page: bool) -> None:
    stage = alarms.config.stage
    type_ = f"`celeriac --stage {stage}"
    alarms.when(
        scope,
        f"{'LateBreaker' if page else 'Breaker'}-{breaker.name}",
        # A queue's name has no underscore, so no alarm of a queue begins like this.
        name=f"{'late_breaker' if page else 'breaker'}_{breaker.name}",
        metric=of_limit(Metric.OPEN_BREAKERS, "Maximum", stage, breaker.name, period=FIVE_MINUTES),
        reaches=1,
        times=(periods, periods),
        page=page,
        notice=Notice(
            f"The breaker {breaker.name} has been open again and again for {in_words(periods * FIVE_MINUTES)}.",
            "What its tasks call has failed too often, or an operator holds it open. Its tasks wait, for 14 days at "
            "most, and no attempt is charged. One tries from time to time, and if it succeeds, the others follow.",
            f"Type {type_} limits`, then {type_} tail --since 15m`: the failed attempts say what is wrong.",
            "it was closed for five minutes, or nobody has come for 20 minutes",
            "open-breakers",
        ),
    )
