"""The outside ledger, where tasks leave effects that no transaction covers, as at a payment provider."""

import json
import os

import urllib3

from celeriac import Context

_http = urllib3.PoolManager(retries=False)


def charge(ctx: Context, task: str) -> None:
    """Leave an entry. The worker may be killed before the ledger has it, or before the worker knows."""
    _leave(ctx, task, ended=False)


def end(ctx: Context, task: str) -> None:
    """Leave an entry at the end of the body. Only this one shows the success of a task without a record."""
    _leave(ctx, task, ended=True)


def _leave(ctx: Context, task: str, *, ended: bool) -> None:
    entry = {"task": task, "key": ctx.key, "attempt": ctx.attempt, "ended": ended}
    _http.request("POST", os.environ["OUTSIDE"], body=json.dumps(entry), timeout=60)
