"""The state of each queue's consumer."""

from collections.abc import Sequence

from celeriac.model.queue import Queue
from celeriac.model.settings import stage
from celeriac_console.stage.clients import client
from celeriac_console.stage.consumers import state, state_of

# https://docs.aws.amazon.com/lambda/latest/api/API_ListEventSourceMappings.html
PAGE = 100


def read(queues: Sequence[Queue]) -> dict[str, str]:
    """`on`, `paused`, or Lambda's word for another state, by the queue's name. A queue without a consumer is left out.

    All event source mappings of the account and region are listed, a call for each hundred: fewer than one a queue. A
    queue on Fargate takes two calls.
    """
    names = {queue.physical_name(stage()): queue.name for queue in queues if not queue.is_on_fargate}
    found = {queue.name: known for queue in queues if queue.is_on_fargate and (known := state(queue)) != "none"}
    for page in client("lambda").get_paginator("list_event_source_mappings").paginate():
        for mapping in page["EventSourceMappings"]:
            source = mapping.get("EventSourceArn", "").rpartition(":")[2]
            if source in names:
                found[names[source]] = state_of(mapping)
    return found
