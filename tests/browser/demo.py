"""The tasks of the walks: a kitchen whose oven fails, and guests who are greeted."""

from datetime import timedelta

from celeriac import Backoff, Queue, Reject, task

RUNS = '<script>window.hit = 1</script><img src=x onerror="window.hit = 1">\'"'
"""Runs something, if a page shows it as it is."""
HOSTILE = f"{RUNS}\u202e\n"

kitchen = Queue("kitchen")
guests = Queue("guests")
attic = Queue("attic")

cooked: list[tuple[str, int]] = []
greeted: list[tuple[str, int]] = []


@task(kitchen, retry=Backoff(base=timedelta(seconds=1), attempts=2))
def cook(dish: str, minutes: int) -> None:
    """Cook a dish. The oven doesn't answer for more than an hour."""
    if minutes > 60:
        raise TimeoutError("the oven doesn't answer")
    cooked.append((dish, minutes))


@task(kitchen)
def serve(table: int) -> None:
    """Bring a dish to a table."""
    raise Reject(f"there is no table {table}")


@task(guests)
def greet_guest(name: str, seats: int = 2) -> None:
    """Say hello."""
    greeted.append((name, seats))


@task(attic, name=f"haunt {RUNS}")
def haunt(note: str) -> None:
    """Fail with a text that would run in a careless page."""
    raise Reject(f"{HOSTILE} {note}")
