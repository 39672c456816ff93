"""The stage's alarms that are raised."""

from typing import NamedTuple

from celeriac.model import names
from celeriac.model.settings import stage
from celeriac_console.stage.clients import client


class Alarm(NamedTuple):
    """An alarm that is raised."""

    name: str
    """Its name in CloudWatch."""
    why: str
    """What CloudWatch says of its state."""
    since: str
    """When its state changed, in ISO 8601."""


def read() -> list[Alarm]:
    """All alarms of the stage that are raised, also composite ones. A call for each hundred."""
    pages = client("cloudwatch").get_paginator("describe_alarms")
    answer = pages.paginate(
        AlarmNamePrefix=names.start(stage()), StateValue="ALARM", AlarmTypes=["MetricAlarm", "CompositeAlarm"]
    )
    found = [alarm for page in answer for alarm in [*page.get("MetricAlarms", []), *page.get("CompositeAlarms", [])]]
    return sorted(
        Alarm(alarm["AlarmName"], alarm.get("StateReason", ""), alarm["StateUpdatedTimestamp"].isoformat())
        for alarm in found
    )
