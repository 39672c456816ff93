"""The same task with the rivals' guarantee, and with Celeriac's default."""

from note import note

from celeriac import task
from tasks.queues import bare, fenced


@task(bare, delivery="at_least_once")
def at_least_once(sent: float) -> None:
    note(sent)


@task(fenced)
def effectively_once(sent: float) -> None:
    note(sent)
