"""Tasks for workers outside of Lambda."""

import time
from datetime import timedelta

from celeriac import Context, task

from .outside import charge, end
from .queues import films
from .work import QUICK, commit

# Longer than a message stays invisible, and a lease lasts, without a heartbeat.
LONG_SECONDS = 3.5
SCENES = 3


@task(films, key="name", retry=QUICK)
def develop(ctx: Context, name: str) -> str:
    """Fails once."""
    charge(ctx, "develop")
    if ctx.attempt == 1:
        raise ConnectionError
    end(ctx, "develop")
    return name


@task(films, key="name", retry=QUICK)
def sell(ctx: Context, name: str) -> None:
    charge(ctx, "sell")
    commit(ctx, f"sell:{name}")


@task(films, key="name", delivery="at_most_once")
def premiere(ctx: Context, name: str) -> None:
    charge(ctx, "premiere")


@task(films, key="name", retry=QUICK)
def cut(ctx: Context, name: str) -> None:
    """Heartbeats fall into it."""
    charge(ctx, "cut")
    time.sleep(LONG_SECONDS)
    commit(ctx, f"cut:{name}")


@task(films, key="name", delivery="at_least_once", retry=QUICK)
def screen(ctx: Context, name: str) -> None:
    """Heartbeats fall into it, and it has no lease."""
    charge(ctx, "screen")
    time.sleep(LONG_SECONDS)
    end(ctx, "screen")


@task(films, key="name", retry=QUICK)
def scan(ctx: Context, name: str) -> None:
    """Saves a cursor with each of its effects, and one alone."""
    charge(ctx, "scan")
    rest = range((ctx.cursor or 0) + 1, SCENES + 1)
    for number in ctx.iterate(rest, cursor_of=lambda done: done, every=timedelta()):
        with ctx.transaction() as tx:
            tx.update("effects", key={"pk": f"scan:{name}"}, add={"times": 1})
            tx.checkpoint(number)
    ctx.checkpoint(SCENES + 1, every=timedelta())
