"""What is left of a stage that no declaration knows, and retired queues that are empty."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

from celeriac.aws import client as clients
from celeriac.aws import schedules, sqs
from celeriac.declare import registry
from celeriac.model import declared, names, settings
from celeriac.model.queue import Queue
from celeriac.relay import removed
from celeriac_console.doctor.finding import Finding

_PAGES = 10
"""Of schedules. A stage may have a million."""


def orphans() -> Iterator[Finding]:
    """Queues, tables and schedules with the stage's names that no declaration knows."""
    found = [*_queues(), *_tables(), *_schedules()]
    yield from found
    if not found:
        yield Finding("orphans", "", "none")


def retired() -> Iterator[Finding]:
    """The retired queues: how much they hold, or that their declaration can be removed."""
    for queue in registry.queues().values():
        if queue.retired:
            with suppress(sqs.NoSuchQueueError):  # the check of the queues says so
                yield _emptied(queue)


def _emptied(queue: Queue) -> Finding:
    stage = settings.stage()
    left = {
        "messages": sum(sqs.counts(sqs.url(queue.physical_name(stage))).values()),
        "dead letters": sum(sqs.counts(sqs.url(queue.dead_letter_name(stage))).values()),
        "schedules": schedules.count(f"{queue.name}.", most=1).number,
    }
    held = [f"{number}{'+' * (what == 'schedules')} {what}" for what, number in left.items() if number]
    if held:
        return Finding("retired queue", queue.name, f"still has {', '.join(held)}")
    return Finding("retired queue", queue.name, "is empty: its declaration can be removed")


def _queues() -> Iterator[Finding]:
    for url in removed.queues():
        count = sum(sqs.counts(url).values())
        how = "docs/howto/restore.md, Removed by mistake"
        cure = how if count else f"aws sqs delete-queue --queue-url {url}"
        name = url.rpartition("/")[2]
        yield Finding("orphan queue", name, f"no declaration knows it, it has {count} messages", cure)


def _tables() -> Iterator[Finding]:
    stage = settings.stage()
    known = {names.idempotency_table(stage), names.outbox_table(stage), names.flow_table(stage)}
    known |= {table.physical_name(stage) for table in declared.tables().values()}
    pages = clients.client("dynamodb").get_paginator("list_tables").paginate()
    for name in (name for page in pages for name in page["TableNames"]):
        if name.startswith(names.start(stage)) and name not in known:
            cure = f"read what it holds, then: aws dynamodb delete-table --table-name {name}"
            yield Finding("orphan table", name, "no declaration knows it", cure)


def _schedules() -> Iterator[Finding]:
    known = set(registry.queues())
    listed = {name.partition(".")[0] for page in islice(schedules.pages(), _PAGES) for name in page.names}
    strange = sorted(listed - known)
    for queue in strange:
        yield Finding(
            "orphan schedules",
            queue,
            "tasks wait in schedules for a queue that no declaration knows",
            "they are still sent to that queue, if it is there: docs/howto/restore.md, Removed by mistake. To see "
            f"them: aws scheduler list-schedules --group-name {names.schedule_group(settings.stage())} "
            f"--name-prefix {queue}.",
        )
