"""What can become of a task."""

import asyncio
import logging
import os
import sys
import threading
import time
from datetime import timedelta

from celeriac import Backoff, Context, Reject, task

from .queues import jobs, ledger, short

log = logging.getLogger("work")


@task(jobs)
def succeed(name: str) -> str:
    print(f"printed by {name}\nin two lines")
    print(f"to stderr by {name}", file=sys.stderr)
    log.warning("logged by %s", name)
    return name


@task(jobs)
def print_json() -> None:
    print('{"event": "paid", "id": 5}')


@task(jobs)
def print_in_a_thread() -> None:
    thread = threading.Thread(target=print, args=("printed by a thread",))
    thread.start()
    thread.join()


_met = asyncio.Event()


@task(jobs)
async def meet(name: str) -> None:
    """Ends when two of them run at the same time."""
    print(f"{name} has come")
    if name == "second":
        _met.set()
    await asyncio.wait_for(_met.wait(), 10)
    await asyncio.to_thread(print, f"{name} has met")


@task(jobs, delivery="at_least_once", retry=Backoff(base=timedelta(seconds=60)))
def fail() -> None:
    raise ValueError("a secret text")


@task(jobs)
def refuse() -> None:
    raise Reject("no use")


@task(jobs, timeout=timedelta(seconds=1))
async def take_too_long() -> None:
    print("waiting")
    await asyncio.sleep(30)


@task(short)
def hang() -> None:
    print("hanging")
    time.sleep(60)


@task(short)
async def block() -> None:
    print("blocking")
    time.sleep(60)  # noqa: ASYNC251 - it is the subject


@task(jobs)
def crash() -> None:
    print("crashing")
    os._exit(7)


@task(jobs)
def where(ctx: Context) -> dict[str, object]:
    print(f"attempt {ctx.attempt}")
    return {"celeriac": os.environ["LAMBDA_TASK_ROOT"]}


@task(ledger)
def book(name: str) -> None:
    if name == "bad":
        raise ValueError(name)
