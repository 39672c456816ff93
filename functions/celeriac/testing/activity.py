"""Notes where the code under test has written something, so that the sandbox needs to poll nothing else."""

from collections.abc import Mapping
from typing import Any

from celeriac.flow import rows

_OUTBOX = "--outbox"
"""The end of the outbox's name, whatever the application and the stage are. No other table may have it."""


class Activity:
    """Learns from AWS calls which queues to look at, and whether to look at the outbox and the schedules."""

    def __init__(self) -> None:
        self.queues: set[str] = set()
        """URLs of queues that may hold messages."""
        self.outbox = False
        """Whether the outbox may hold events that were not yet read from its stream."""
        self.unpublished = False
        """Whether the outbox may hold events that are not published yet."""
        self.schedules = False
        """Whether a schedule may be waiting."""
        self.batches = False
        """Whether a batch may be sealed that hasn't fired yet."""
        self.payloads = False
        """Whether the payload bucket may hold an object."""

    def watch(self, service: str, operation: str, arguments: Mapping[str, Any]) -> None:
        """Note where an AWS call puts something."""
        if service == "sqs" and operation in {"SendMessage", "SendMessageBatch"}:
            self.queues.add(arguments["QueueUrl"])
        elif service == "dynamodb" and any(table.endswith(_OUTBOX) for table in _tables_put_into(operation, arguments)):
            self.outbox = self.unpublished = True
        elif operation == "UpdateItem" and str(arguments["Key"].get("pk", {}).get("S")).startswith(rows.BATCH):
            self.batches = True
        elif service == "scheduler" and operation == "CreateSchedule":
            self.schedules = True
        elif service == "s3" and operation == "PutObject":
            self.payloads = True


def _tables_put_into(operation: str, arguments: Mapping[str, Any]) -> set[str]:
    match operation:
        case "PutItem":
            return {arguments["TableName"]}
        case "BatchWriteItem":
            return set(arguments["RequestItems"])
        case "TransactWriteItems":
            return {action["Put"]["TableName"] for action in arguments["TransactItems"] if "Put" in action}
        case _:
            return set()
