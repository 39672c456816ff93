"""Whether starts keep to a rate, in any window of time."""

from collections.abc import Sequence
from datetime import datetime

from celeriac.flow import rows


def holds(times: Sequence[datetime], burst: int, interval: int, slack: int = 0) -> bool:
    """Whether no window of any length w holds more than `burst + w/interval` starts. Times are in microseconds.

    slack: how much later than its admission a task may begin.
    """
    virtual = 0.0
    for instant in sorted(times):
        now = rows.microseconds(instant)
        virtual = max(virtual, now) + interval
        if virtual - now > burst * interval + slack + 1:
            return False
    return True
