"""The keywords of EventBridge Scheduler. It replaces them wherever they stand in a schedule's input.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
"""

SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"
"""Replaced with the time for which a firing was planned, not with the time of the firing itself."""


def escaped(body: str) -> str:
    """The same JSON without any keyword: a user's text arrives as it was sent.

    In JSON a `<` stands only within a text, where it may be escaped.
    """
    return body.replace("<", r"\u003c")
