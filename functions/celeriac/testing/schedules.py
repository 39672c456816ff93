"""One-time schedules as EventBridge Scheduler treats them: keywords in their input, and names that stay taken."""

from datetime import UTC, datetime, timedelta

from celeriac.model.message import new_id

# Scheduler deletes a completed schedule "shortly after" its last invocation. Until then its name is taken:
# https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-delete.html
LINGERS = timedelta(minutes=1)


def as_sent(text: str, *, scheduled_time: datetime, arn: str) -> str:
    """The input of a schedule as Scheduler sends it: it replaces its keywords, whoever wrote them.

    https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
    """
    values = {
        "schedule-arn": arn,
        "scheduled-time": scheduled_time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "execution-id": new_id(),
        "attempt-number": "1",
    }
    for name, value in values.items():
        text = text.replace(f"<aws.scheduler.{name}>", value)
    return text
