"""`celeriac doctor` and the quotas of EventBridge Scheduler."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner

from celeriac import Queue, task
from celeriac.testing import Sandbox
from celeriac_console.main import app
from celeriac_console.stage.clients import client

jobs = Queue("quotas")


@task(jobs)
def wait() -> None: ...


CALLS = {
    "QuotaName": "CreateSchedule request rate",
    "QuotaCode": "L-1",
    "Value": 100.0,
    "Adjustable": True,
    "Period": {"PeriodValue": 1, "PeriodUnit": "SECOND"},
    "UsageMetric": {
        "MetricNamespace": "AWS/Usage",
        "MetricName": "CallCount",
        "MetricDimensions": {"Service": "Scheduler", "Type": "API", "Resource": "CreateSchedule", "Class": "None"},
        "MetricStatisticRecommendation": "Sum",
    },
}
COUNT = {
    "QuotaName": "Number of schedules",
    "QuotaCode": "L-2",
    "Value": 2000.0,
    "Adjustable": False,
    "UsageMetric": {
        "MetricNamespace": "AWS/Usage",
        "MetricName": "ResourceCount",
        "MetricDimensions": {"Service": "Scheduler", "Type": "Resource", "Resource": "Schedule", "Class": "None"},
        "MetricStatisticRecommendation": "Maximum",
    },
}


def doctor() -> str:
    return CliRunner().invoke(app, ["--stage", "test", "doctor"], env={"COLUMNS": "400"}).output


@contextmanager
def answered(*quotas: Any, error: str = "") -> Iterator[None]:
    """Moto has no Service Quotas of Scheduler."""

    def answer(**_: object) -> Any:
        if error:
            raise ClientError({"Error": {"Code": error, "Message": "no"}}, "ListServiceQuotas")
        return type("Answer", (), {"status_code": 200}), {"Quotas": list(quotas)}

    events = client("service-quotas").meta.events
    events.register("before-call.service-quotas.ListServiceQuotas", answer)
    try:
        yield
    finally:
        events.unregister("before-call.service-quotas.ListServiceQuotas", answer)


def measured(sandbox: Sandbox, namespace: str, metric: str, value: float, **dimensions: str) -> None:
    client("cloudwatch").put_metric_data(
        Namespace=namespace,
        MetricData=[
            {
                "MetricName": metric,
                "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
                "Timestamp": sandbox.now - timedelta(hours=5),
                "Value": value,
            }
        ],
    )


def used(sandbox: Sandbox, quota: Any, value: float) -> None:
    metric = quota["UsageMetric"]
    measured(sandbox, metric["MetricNamespace"], metric["MetricName"], value, **metric["MetricDimensions"])


def test_without_service_quotas_the_own_schedules_are_counted_and_nothing_is_wrong(sandbox: Sandbox) -> None:
    wait.options(delay=timedelta(hours=1)).enqueue()
    with answered(error="InternalFailure"):
        found = doctor()
    assert (
        "ok    quotas of EventBridge Scheduler: can't be seen, InternalFailure; this stage has 1 schedules, an account "
        "may have 10,000,000" in found
    )
    assert "quotas of EventBridge Scheduler: can't be seen" in doctor()  # moto doesn't know the call


def test_who_may_not_see_quotas_is_told_so(sandbox: Sandbox) -> None:
    with answered(error="AccessDeniedException"):
        assert "WRONG quotas: can't be seen, AccessDeniedException" in doctor()


def test_a_quota_that_is_not_used_up_is_not_wrong(sandbox: Sandbox) -> None:
    used(sandbox, CALLS, 60 * 40)
    used(sandbox, COUNT, 1000)
    with answered(CALLS, COUNT, {"QuotaName": "x", "QuotaCode": "L-3", "Value": 5.0}):
        found = doctor()
    assert "ok    quotas of EventBridge Scheduler: at most 50% of any is used; this stage has 0 schedules" in found
    assert "an account may have 2,000\n" in found


@pytest.mark.parametrize(
    ("quota", "value", "problem", "cure"),
    [
        (
            *(CALLS, 60 * 90, "WRONG quota CreateSchedule request rate: 90 of 100 used in the last day"),
            (
                "aws service-quotas request-service-quota-increase --service-code scheduler --quota-code L-1 "
                "--desired-value 200"
            ),
        ),
        (
            *(COUNT, 1700, "WRONG quota Number of schedules: 1,700 of 2,000 used in the last day"),
            "it can't be raised: spread the calls, or use another account or region",
        ),
    ],
    ids=["calls", "schedules"],
)
def test_more_than_four_fifths_of_a_quota_is_wrong(
    sandbox: Sandbox, quota: Any, value: float, problem: str, cure: str
) -> None:
    used(sandbox, quota, value)
    with answered(quota):
        found = doctor()
    assert f"{problem}\n      {cure}" in found


def test_sends_that_were_held_back_are_wrong(sandbox: Sandbox) -> None:
    measured(sandbox, "AWS/Scheduler", "InvocationThrottleCount", 7, ScheduleGroup="celeriac-test")
    measured(sandbox, "AWS/Scheduler", "InvocationThrottleCount", 9, ScheduleGroup="celeriac-prod")
    with answered(CALLS):
        assert "WRONG schedules: Scheduler has held back 7 sends in the last day" in doctor()
