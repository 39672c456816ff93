"""The notes of dead letters that a batch writes, see `celeriac.dead_letters.letter_notes`."""

from collections.abc import Callable, Sequence
from functools import partial

from celeriac.consume.outcome import Dead, HandedBack, Outcome, Postponed, Waiting
from celeriac.consume.received import Received
from celeriac.dead_letters import letter_notes
from celeriac.declare import registry
from celeriac.execute.call import TaskCalls
from celeriac.model.lenient import id_of, task_of
from celeriac.model.message import Message

type Change = Callable[[], None]
"""Writes a note, or marks it as redriven."""


def changes(outcome: Outcome, message: Message | None, received: Received) -> list[Change]:
    """The changes of notes after an outcome. `message` is as it was received, None if its body can't be read."""
    sqs_record, queue, facts = received.sqs_record, received.queue, received.facts
    made: list[Change] = []
    if facts.replaced is not None and message is not None:
        # The record of its key said that another message is a dead letter. This message's claim has overwritten it.
        made.append(partial(letter_notes.note, queue, message.task, *facts.replaced))
    if isinstance(outcome, Dead):
        task, id_ = (
            (message.task, message.id) if message is not None else (task_of(sqs_record.body), id_of(sqs_record.body))
        )
        its = registry.tasks.get(task)
        # Who may send to one queue must not change what is told about the tasks of another.
        is_its_own = its is None or its.runs_from(queue)
        if task and id_ and is_its_own and not (outcome.lease is not None and outcome.lease.is_of_its_key):
            made.append(partial(letter_notes.note, queue, task, id_, outcome.failure))
    elif (
        message is not None
        and message.failure is not None
        and not isinstance(outcome, HandedBack | Postponed | Waiting)
    ):
        made.append(partial(letter_notes.forget, queue, message.task, message.id))  # the message was redriven
    return made


def noting(some: Sequence[Change]) -> TaskCalls[None]:
    """Make the changes, as a lane of `Threads`, whose limit bounds the wait."""
    for change in some:
        change()
    yield from ()
