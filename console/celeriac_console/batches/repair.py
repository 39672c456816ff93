"""What a person can do for a batch that hasn't ended."""

from celeriac.compose import callbacks
from celeriac.flow.batches import root
from celeriac.flow.batches.root import Batch
from celeriac.flow.batches.status import dead_members
from celeriac.model.queue import Queue
from celeriac_console.application import by_name
from celeriac_console.application.loading import load
from celeriac_console.batches.found import Found, named
from celeriac_console.batches.words import waits_for
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.next_steps import command, deploy_it

_PAGE = 1_000


def unended(batch_id: str) -> Found:
    """The batch with this id. Raises UserError if there is none, or it has ended, and what `named` raises."""
    found = named(batch_id)
    if found.batch.fired:
        raise UserError(f"{batch_id} has ended: all its members have succeeded. There is nothing to repair")
    return found


def refuse_incomplete(found: Found) -> None:
    """Raise UserError for a batch that isn't complete."""
    if not found.batch.is_sealed:
        raise UserError(f"{found.batch.id} isn't complete, so no callback is due. {'; '.join(waits_for(found))}")


def finish(found: Found) -> Found:
    """Send the callback of a complete batch that is due and wasn't sent. Returns how the batch is then.

    Raises UserError for one that isn't complete, or whose callbacks aren't known here, and AWS's errors.
    """
    refuse_incomplete(found)
    load()
    try:
        callbacks.finish(found.batch)
    except callbacks.UnknownQueueError as error:
        raise UserError(f"{error}: work in a checkout of the release that declares it, or {deploy_it()}") from error
    return named(found.batch.id)


def refuse_given_up(found: Found) -> None:
    """Raise UserError for a batch that nobody waits for."""
    if found.is_given_up:
        raise UserError(f"nobody waits for {found.batch.id}: its block was left by an error, or it was given up before")


def give_up(found: Found) -> str:
    """Let nobody wait for a batch any more. Returns what follows, in sentences.

    Raises UserError if somebody was faster, and AWS's errors.
    """
    refuse_given_up(found)
    batch = found.batch
    if not root.leave_index(batch):
        raise UserError(
            f"{batch.id} has changed meanwhile: another program has completed it, or begun it again. Nothing was done"
        )
    goes_on = "If its members succeed after all, `then` comes." if batch.is_sealed else "If its block runs, it goes on."
    return f"{batch.id} is given up: it is late no more. What was sent runs. {goes_on}"


def dead_of(batch: Batch) -> tuple[int, list[Queue]]:
    """How many members are dead, and the queues that they came from.

    Raises UserError if none is, or a queue isn't declared here, and AWS's errors.
    """
    count, after, names = 0, -1, set[str]()
    while page := dead_members(batch, after=after, most=_PAGE):
        count, after = count + len(page), page[-1].index
        names |= {each.queue for each in page if each.queue}
    if not count:
        shown = command("batches", "show", batch.id)
        raise UserError(f"no member of {batch.id} is known to be dead. See what it waits for, and its letters: {shown}")
    return count, [by_name.queue(name) for name in sorted(names)]
