"""HTTP for tasks that call other companies' servers: one pool of connections, and the Retry-After header."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache

import urllib3

# Shorter than the timeout of the tasks that use it: if a server hangs, the task fails before Lambda stops the worker.
TIMEOUT = urllib3.Timeout(connect=2.0, read=5.0)
# As many as the tasks that one worker runs at once: a further connection is thrown away after each request.
MOST_CONNECTIONS = 10
TOO_MANY_REQUESTS = 429
SERVER_ERROR = 500


@cache
def pool() -> urllib3.PoolManager:
    """One pool of connections for each worker. It never retries or follows redirects: the queue retries."""
    return urllib3.PoolManager(timeout=TIMEOUT, retries=False, maxsize=MOST_CONNECTIONS)


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """The wait in a server's Retry-After header (RFC 9110: seconds or a date), at most a day. None if it has none."""
    value = headers.get("Retry-After", "").strip()
    if value.isdecimal():
        asked = timedelta(seconds=min(int(value), 86_400))
    else:
        try:
            asked = parsedate_to_datetime(value) - datetime.now(UTC)
        except (TypeError, ValueError):
            return None
    return min(max(asked, timedelta()), timedelta(days=1))
