"""Queues that no declaration knows any more. Nobody consumes what they hold, and SQS deletes it in the end."""

from collections.abc import Iterator

from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.declare import registry
from celeriac.model import names, settings


def queues() -> Iterator[str]:
    """The URLs of the stage's queues that no declaration knows."""
    stage = settings.stage()
    known = {names.relay_dead_letters(stage), names.schedule_dead_letters(stage)}
    known |= {names.bus_dead_letters(stage), names.aws_event_dead_letters(stage)}
    for queue in registry.queues().values():
        known |= {queue.physical_name(stage), queue.dead_letter_name(stage)}
    pages = client("sqs").get_paginator("list_queues").paginate(QueueNamePrefix=names.start(stage))
    for url in (url for page in pages for url in page.get("QueueUrls", [])):
        if url.rpartition("/")[2] not in known:
            yield url


def messages() -> int:
    """How many messages lie in those queues."""
    return sum(sum(sqs.counts(url).values()) for url in queues())
