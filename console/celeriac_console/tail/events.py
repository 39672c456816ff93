"""Events of the functions' logs, from CloudWatch."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from celeriac_console.stage.clients import client


def read_events(functions: dict[str, str], start: int) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Each event since `start` with a key that is unique to it, in order of time.

    `functions` maps a function's name to the queue, or the role, that a line shows. `start` is in milliseconds. Equal
    lines of one instant are separate events.
    """
    logs = client("logs")
    found: list[Any] = []
    for function, queue in functions.items():
        try:
            pages = logs.get_paginator("filter_log_events").paginate(
                logGroupName=f"/aws/lambda/{function}", startTime=start
            )
            found += [{"queue": queue, **event} for page in pages for event in page["events"]]
        except logs.exceptions.ResourceNotFoundException:
            continue  # the function hasn't run yet, or isn't deployed, which `doctor` shows
    equal: Counter[tuple[Any, ...]] = Counter()
    for event in sorted(found, key=lambda event: event["timestamp"]):
        key = (event["logStreamName"], event["timestamp"], event["message"])
        equal[key] += 1
        yield (*key, equal[key]), event
