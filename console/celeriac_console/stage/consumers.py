"""The event source mapping of a queue: it feeds the consumer, and turns it on and off."""

from typing import TYPE_CHECKING

from celeriac.aws import sqs
from celeriac.model.queue import Queue
from celeriac.model.settings import stage
from celeriac_console.stage.clients import client

if TYPE_CHECKING:
    from mypy_boto3_lambda.type_defs import EventSourceMappingConfigurationTypeDef


def mapping_of(queue: Queue) -> "EventSourceMappingConfigurationTypeDef | None":
    """The event source mapping of a queue; None if it isn't deployed."""
    lambda_ = client("lambda")
    try:
        # Looked up by the queue, because the mapping may feed the function or an alias of it.
        source = sqs.arn(queue.physical_name(stage()))
        found = lambda_.list_event_source_mappings(EventSourceArn=source)["EventSourceMappings"]
    except (sqs.NoSuchQueueError, lambda_.exceptions.ResourceNotFoundException):
        return None
    return found[0] if found else None
