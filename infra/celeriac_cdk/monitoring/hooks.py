"""The ticket for hooks that fail: no message is lost by one, so nothing else tells of it."""

from constructs import Construct

from celeriac.model import names
from celeriac.observe.metric_names import Metric
from celeriac_cdk.monitoring.alarms import Alarms
from celeriac_cdk.monitoring.metrics import FIVE_MINUTES, measure
from celeriac_cdk.monitoring.notice import Notice

# One slow call of a tracing service is nothing to look at. Three times in an hour is a habit.
_TIMES = (3, 12)


def watch_hooks(scope: Construct, alarms: Alarms) -> None:
    """Build a ticket for hooks of workers that fail again and again."""
    stage = alarms.config.stage
    alarms.when(
        scope,
        "HooksAlarm",
        name="failed-hooks",
        metric=measure(
            names.METRICS,
            Metric.FAILED_HOOKS,
            "Sum",
            period=FIVE_MINUTES,
            service="tasks",
            stage=names.prefix(stage),
        ),
        reaches=1,
        times=_TIMES,
        page=False,
        notice=Notice(
            "Hooks of the workers have failed, or taken too long, three times within an hour.",
            "Tasks run, and no message is lost. What the hooks do is missing: spans, reports of errors, headers.",
            f"Type `celeriac --stage {stage} tail --since 1h`: `a hook failed` names the hook and the error.",
            "they have failed less often for an hour",
            "failing-hooks",
        ),
    )
