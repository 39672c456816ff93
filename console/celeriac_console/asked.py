"""Find the task that a reference, an id or a key names, and what is stored about it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from celeriac import Task, handle
from celeriac.aws import scheduler, sqs
from celeriac.aws.client import client
from celeriac.aws.items import plain
from celeriac.dead_letters import letter_notes
from celeriac.dead_letters import search as letters
from celeriac.declare import lookup, registry
from celeriac.declare.handle import Handle
from celeriac.declare.reference import InvalidReferenceError, parse
from celeriac.leases import notes
from celeriac.leases.status import Status, of_record
from celeriac.model import names, settings
from celeriac_console import known
from celeriac_console.arguments import value_for

# How many pages of records are searched for an id whose key isn't known, unless `search` asks for all. A page has 1 MB.
MOST_PAGES = 10

type Answer = tuple[Handle[Any], Status]


def asked_id(text: str) -> str:
    """The id in a reference. A text that is not a reference is returned unchanged."""
    try:
        parts = parse(text)
    except InvalidReferenceError:
        return text
    return parts.id if parts.due is not None else text


def asked(text: str) -> Answer | None:
    """The task that a reference names, with its status. None if `text` is no reference.

    Raises UserError for an unknown task.
    """
    try:
        parts = parse(text)
    except InvalidReferenceError:
        return None
    if parts.due is not None:
        known.task(parts.task)
        made = handle(text)
        return made, made.status()
    if parts.task not in registry.tasks or parts.id != parts.key:
        return None  # not a reference: a key that contains a slash
    # A reference typed by hand: the task, and its key or its id.
    task = registry.tasks[parts.task]
    full, record = spelled(task, parts.key)
    made = task.handle_of("" if record else parts.id, full)
    return made, made.status()


def spelled(task: Task[..., Any, Any], key: str) -> tuple[str, Mapping[str, Any]]:
    """The idempotency key that `key` stands for, and its record.

    `key` is a value of the task's key parameter, which the task turns into its own spelling, or a key that was given
    with the message.
    """
    typed = f"{task.name}:{key}"
    full = task.key_for(value_for(task, task.key, key)) if task.key is not None else typed
    record = lookup.record(task.name, full, task.queue, task.guarantee)
    if not record and full != typed and (found := lookup.record(task.name, typed, task.queue, task.guarantee)):
        return typed, found
    return full, record


def found(text: str, tasks: Sequence[Task[..., Any, Any]], *, search: bool) -> list[Answer]:
    """What is stored about the key or id `text`.

    Searched in this order, up to the first place with an answer: the record of a key, notes of dead letters,
    schedules, all records, dead-letter queues.
    """
    places = (_by_key, _noted, _scheduled, lambda text, tasks: _in_records(text, tasks, search=search), _in_letters)
    for place in places:
        answers = list(place(text, tasks))
        if answers:
            return answers
    return []


def _by_key(text: str, tasks: Sequence[Task[..., Any, Any]]) -> Iterator[Answer]:
    for task in tasks:
        key, record = spelled(task, text)
        once = task.guarantee == "at_most_once"
        status = of_record(record, "", task.queue, once=once)
        if status is not None:
            yield task.handle_of(status.id, key), status


def _noted(text: str, tasks: Sequence[Task[..., Any, Any]]) -> Iterator[Answer]:
    for task in tasks:
        failure = letter_notes.noted(task.name, text)
        if failure is not None:
            status = Status("dead", failure.attempts, failure=failure, id=text, since=failure.last_at)
            yield task.handle_of(text, f"{task.name}:{text}"), status


def _scheduled(text: str, tasks: Sequence[Task[..., Any, Any]]) -> Iterator[Answer]:
    for task in tasks:
        try:
            due = scheduler.due(task.queue.physical_name(settings.stage()), task.name, text)
        except ClientError as error:
            if lookup.is_denied(error):
                return
            raise
        if due is not None:
            yield task.handle_of(text, f"{task.name}:{text}", due), Status("queued", id=text, due=due)


def _in_records(text: str, tasks: Sequence[Task[..., Any, Any]], *, search: bool) -> Iterator[Answer]:
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
        if number == MOST_PAGES and not search:
            return


def _in_letters(text: str, tasks: Sequence[Task[..., Any, Any]]) -> Iterator[Answer]:
    """Search the dead-letter queues: for messages that SQS itself moved there, and for bodies that can't be read."""
    for queue in {task.queue.name: task.queue for task in tasks}.values():
        try:
            letter, _ = letters.find(queue, text)
        except sqs.NoSuchQueueError:
            continue
        if letter is not None:
            task = registry.tasks.get(letter.task) or next(task for task in tasks if task.queue == queue)
            failure = letter.failure
            since = failure.last_at if failure is not None else letter.sent_at
            attempts = failure.attempts if failure is not None else 0
            yield task.handle_of(text, f"{task.name}:{text}"), Status("dead", attempts, None, failure, text, since)
