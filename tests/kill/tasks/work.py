"""One task of each kind. Each charges the outside ledger, and most commit an effect that must happen once."""

from datetime import timedelta

from boto3.dynamodb.conditions import Attr

from celeriac import Backoff, Context, Reject, task

from . import memory
from .outside import charge, end
from .queues import jobs, ledger

# A death costs no attempt, and neither does a worker that was frozen. Two failures are the tasks' own.
QUICK = Backoff(base=timedelta(seconds=1), factor=1, jitter=0, attempts=3)


@task(jobs, key="name", retry=QUICK)
def pay(ctx: Context, name: str) -> str:
    """Effectively once, and its effect is outside."""
    charge(ctx, "pay")
    end(ctx, "pay")
    return name


@task(jobs, key="name", delivery="at_least_once", retry=QUICK)
def notify(ctx: Context, name: str) -> None:
    """Fails once. The second attempt comes by another message, and there is no record of it."""
    charge(ctx, "notify")
    if ctx.attempt == 1:
        raise ConnectionError
    end(ctx, "notify")


@task(jobs, key="name", delivery="at_most_once")
def launch(ctx: Context, name: str) -> None:
    charge(ctx, "launch")


def commit(ctx: Context, name: str) -> None:
    with ctx.transaction() as tx:
        tx.update("effects", key={"pk": name}, add={"times": 1})


@task(jobs, key="name", retry=QUICK)
def fail_once(ctx: Context, name: str) -> None:
    charge(ctx, "fail_once")
    if ctx.attempt == 1:
        raise ConnectionError
    commit(ctx, f"fail_once:{name}")


@task(jobs, key="name", retry=QUICK)
def refuse(ctx: Context, name: str) -> None:
    charge(ctx, "refuse")
    raise Reject("no")


@task(jobs, key="name", retry=QUICK)
def transfer(ctx: Context, name: str) -> None:
    """An effect, an event and a task, all or none."""
    charge(ctx, "transfer")
    with ctx.transaction() as tx:
        tx.update("effects", key={"pk": f"transfer:{name}"}, add={"times": 1})
        tx.emit("kill.moved", {"name": name}, aggregate=name)
        tx.enqueue(pay, name=f"after-{name}")


@task(jobs, key="name", retry=QUICK)
def roll_back(ctx: Context, name: str) -> None:
    """No transaction of it commits, so nobody may learn of its event."""
    charge(ctx, "roll_back")
    with ctx.transaction() as tx:
        tx.update("effects", key={"pk": f"roll_back:{name}"}, add={"times": 1})
        tx.emit("kill.moved", {"name": name}, aggregate=name)
        raise Reject("no")


@task(jobs, key="name", retry=QUICK, on="kill.moved")
def follow(ctx: Context, name: str) -> None:
    charge(ctx, "follow")
    commit(ctx, f"follow:{name}")


@task(ledger, key="name", retry=QUICK)
def in_order(ctx: Context, name: str, group: str, number: int) -> None:
    """The table itself refuses an effect that comes out of order."""
    charge(ctx, "in_order")
    with ctx.transaction() as tx:
        tx.update(
            "effects",
            key={"pk": f"group:{group}"},
            add={"times": 1},
            condition=Attr("times").eq(number - 1) if number > 1 else "attribute_not_exists(pk)",
        )


@task(jobs, key="name", retry=QUICK)
def hog(ctx: Context, name: str) -> None:
    """Takes all memory, and gives it back when its error leaves it."""
    charge(ctx, "hog")
    memory.exhaust([])


@task(jobs, key="name", retry=QUICK)
def hoard(ctx: Context, name: str) -> None:
    """Takes all memory and keeps it: everything else in the worker is out of memory too."""
    charge(ctx, "hoard")
    memory.exhaust(memory.kept)


@task(jobs, key="name", retry=QUICK)
def burst(ctx: Context, name: str) -> None:
    """Takes all memory, and dies of it as a worker at Lambda does."""
    charge(ctx, "burst")
    memory.exhaust_and_die()
