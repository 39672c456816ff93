"""The quotas of EventBridge Scheduler. All stages of an account share them in a region."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from celeriac.aws import schedules
from celeriac.aws.client import error_code
from celeriac.model import names, settings
from celeriac.model.failure import error_type
from celeriac_console.doctor.finding import Finding
from celeriac_console.explain import DENIED
from celeriac_console.stage.clients import client

_SERVICE = "scheduler"
MOST_USED = 0.8
# https://docs.aws.amazon.com/general/latest/gr/eventbridgescheduler.html
MOST_SCHEDULES = 10_000_000
"""The default of an account in a region."""
_MOST_COUNTED = 10 * schedules.PAGE
_DAY, _MINUTE = timedelta(days=1), 60
_SECONDS = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600, "DAY": 86400}


def quotas() -> Iterator[Finding]:
    """What was held back in the last day, and each quota of which more than 80 % was used in it."""
    yield from _throttled()
    try:
        pages = client("service-quotas").get_paginator("list_service_quotas").paginate(ServiceCode=_SERVICE)
        known = [quota for page in pages for quota in page["Quotas"] if quota.get("Value")]
    except Exception as error:
        code = error_code(error)
        if code in DENIED:
            raise
        # The local cloud has no Service Quotas, and neither has every region.
        known, seen = [], f"can't be seen, {code or error_type(error)}"
    else:
        measured = [(quota, _used(quota["UsageMetric"], quota)) for quota in known if "UsageMetric" in quota]
        yield from (_short(quota, used) for quota, used in measured if used > MOST_USED * quota["Value"])
        share = max((used / quota["Value"] for quota, used in measured), default=None)
        seen = f"at most {share:.0%} of any is used" if share is not None else "what is used of them can't be seen"
    number, is_more = schedules.count(most=_MOST_COUNTED)
    most = next((quota["Value"] for quota in known if _is_of_schedules(quota)), MOST_SCHEDULES)
    own = f"this stage has {number:,}{'+' * is_more} schedules, an account may have {most:,.0f}"
    yield Finding("quotas", "of EventBridge Scheduler", f"{seen}; {own}")


def _throttled() -> Iterator[Finding]:
    group = names.schedule_group(settings.stage())
    held_back = sum(_points("AWS/Scheduler", "InvocationThrottleCount", {"ScheduleGroup": group}, "Sum", period=3600))
    if held_back:
        yield Finding(
            "schedules",
            "",
            f"Scheduler has held back {held_back:,.0f} sends in the last day, so delayed tasks came late",
            "spread the times when tasks are due, or ask for more in the console of Service Quotas: EventBridge "
            "Scheduler, Invocations throttle limit in transactions per second",
        )


def _is_of_schedules(quota: Any) -> bool:
    return "number of schedules" in quota["QuotaName"].lower()


def _short(quota: Any, used: float) -> Finding:
    cure = (
        f"aws service-quotas request-service-quota-increase --service-code {_SERVICE} "
        f"--quota-code {quota['QuotaCode']} --desired-value {quota['Value'] * 2:.0f}"
        if quota.get("Adjustable")
        else "it can't be raised: spread the calls, or use another account or region"
    )
    return Finding("quota", quota["QuotaName"], f"{used:,.0f} of {quota['Value']:,.0f} used in the last day", cure)


def _used(metric: Any, quota: Any) -> float:
    """The most that was used of a quota in the last day, in the quota's unit."""
    statistic = metric.get("MetricStatisticRecommendation", "Maximum")
    points = _points(metric["MetricNamespace"], metric["MetricName"], metric["MetricDimensions"], statistic)
    most = max(points, default=0.0)
    if statistic != "Sum":
        return most
    # A sum is of calls in a minute, and the quota is of calls in its period, a second mostly.
    period = quota.get("Period", {})
    seconds: float = period.get("PeriodValue", 1) * _SECONDS.get(period.get("PeriodUnit", "SECOND"), 1)
    return most / _MINUTE * seconds


def _points(
    namespace: str, metric: str, dimensions: dict[str, str], statistic: Any, *, period: int = _MINUTE
) -> list[float]:
    """The figures of the last day. A minute is the shortest period that fits into CloudWatch's 1,440 points."""
    now = datetime.now(UTC)
    answer: Any = client("cloudwatch").get_metric_statistics(
        Namespace=namespace,
        MetricName=metric,
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        StartTime=now - _DAY,
        EndTime=now,
        Period=period,
        Statistics=[statistic],
    )
    return [float(point[statistic]) for point in answer.get("Datapoints", [])]
