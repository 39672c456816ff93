"""Search the stores for a task by its id or its key."""

from collections.abc import Iterator, Sequence
from typing import Any

from botocore.exceptions import ClientError

from celeriac import Task
from celeriac.aws import scheduler, sqs
from celeriac.aws.client import client
from celeriac.aws.items import plain
from celeriac.dead_letters import letter_notes
from celeriac.dead_letters import search as letters
from celeriac.declare import lookup, registry
from celeriac.declare.handle import Handle
from celeriac.leases import notes
from celeriac.leases.status import Status, ended, of_record
from celeriac.model import names, settings
from celeriac_console.lookup.keys import key_and_record

# A search by id reads this many pages of records, unless `every_record` is set. A page has 1 MB.
MOST_PAGES = 10

type Answer = tuple[Handle[Any], Status]


def by_key_or_id(text: str, tasks: Sequence[Task[..., Any, Any]], *, every_record: bool) -> list[Answer]:
    """The tasks with the key or id `text`, each with its status.

    The search ends at the first place with an answer. The order is: the record of a key, notes of dead letters,
    schedules, all records, dead-letter queues.
    """

    def in_records(text: str, tasks: Sequence[Task[..., Any, Any]]) -> Iterator[Answer]:
        return _in_records(text, tasks, every_record=every_record)

    for place in (_by_key, _noted, _scheduled, in_records, _in_letters):
        answers = list(place(text, tasks))
        if answers:
            return answers
    return []


def _by_key(text: str, tasks: Sequence[Task[..., Any, Any]]) -> Iterator[Answer]:
    for task in tasks:
        key, record = key_and_record(task, text)
        once = task.guarantee == "at_most_once"
        status = of_record(record, "", task.queue, once=once)
        if status is not None:
            yield task.handle_of(status.id, key), status


def _noted(text: str, tasks: Sequence[Task[..., Any, Any]]) -> Iterator[Answer]:
    for task in tasks:
        failure = letter_notes.noted(task.all_queues, task.name, text)
        if failure is not None:
            status = ended(failure, failure.attempts, text)
            yield task.handle_of(text, f"{task.name}:{text}"), status


def _scheduled(text: str, tasks: Sequence[Task[..., Any, Any]]) -> Iterator[Answer]:
    for task in tasks:
        places = (queue.physical_name(settings.stage()) for queue in task.all_queues)
        try:
            due = next(filter(None, (scheduler.due(place, task.name, text) for place in places)), None)
        except ClientError as error:
            if lookup.is_denied(error):
                return
            raise
        if due is not None:
            yield task.handle_of(text, f"{task.name}:{text}", due), Status("queued", id=text, due=due)


def _in_records(text: str, tasks: Sequence[Task[..., Any, Any]], *, every_record: bool) -> Iterator[Answer]:
    by_name = {task.name: task for task in tasks}
    pages = (
        client("dynamodb")
        .get_paginator("scan")
        .paginate(
            TableName=names.idempotency_table(settings.stage()),
            FilterExpression="task_id = :id",
            ExpressionAttributeValues={":id": {"S": text}},
        )
    )
    for number, page in enumerate(pages, start=1):
        for item in page["Items"]:
            record = plain(item) or {}
            task = by_name.get(str(record["id"]).rpartition("#")[0])
            if task is not None and not notes.is_note(str(record["id"])):
                once = task.guarantee == "at_most_once"
                status = of_record(record, text, task.queue, once=once)
                if status is not None:
                    yield task.handle_of(text, f"{task.name}:{text}"), status
        if number == MOST_PAGES and not every_record:
            return


def _in_letters(text: str, tasks: Sequence[Task[..., Any, Any]]) -> Iterator[Answer]:
    """Search the dead-letter queues. Only they hold messages that SQS itself moved there, and unreadable bodies."""
    for queue in {queue.name: queue for task in tasks for queue in task.all_queues}.values():
        try:
            letter, _ = letters.find(queue, text)
        except sqs.NoSuchQueueError:
            continue
        if letter is not None:
            task = registry.tasks.get(letter.task) or next(task for task in tasks if task.runs_from(queue))
            failure = letter.failure
            since = failure.last_at if failure is not None else letter.sent_at
            attempts = failure.attempts if failure is not None else 0
            yield task.handle_of(text, f"{task.name}:{text}"), Status("dead", attempts, None, failure, text, since)
