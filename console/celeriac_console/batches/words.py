"""What a batch waits for, in words, each with the command that helps."""

import msgspec

from celeriac_console.batches.found import Found
from celeriac_console.terminal.next_steps import command
from celeriac_console.terminal.plural import counted

_WHERE = (
    "Such a member waits, runs or is retried, or it is a dead letter that the batch doesn't know of: SQS itself has "
    "moved it, or AWS was down when it was reported."
)
_REDRIVEN = "Redriven, such a member may still succeed. If its letter was discarded, `then` never comes."


def waits_for(found: Found) -> list[str]:
    """Sentences: what has been sent, what is missing, and what a person can do."""
    if not found.batch.is_sealed:
        return _open(found)
    return [*_sent(found), *([] if found.batch.fired else _missing(found))]


def _open(found: Found) -> list[str]:
    if found.is_given_up:
        return [f"Nobody waits for it: its block was left by an error, or it was given up. {_again(found)}"]
    return [
        f"Its block runs, or its program has died before all members were added. {_again(found)}",
        f"give it up: {command('batches', 'repair', found.batch.id, '--give-up')}",
    ]


def _again(found: Found) -> str:
    if found.batch.key:
        return f"To begin it again, fill a batch with the same key: {found.batch.key}"
    if found.batch.id.partition("#")[2].startswith("/"):
        return "The task that fills it begins it again in its next attempt. If that task is a dead letter, redrive it."
    return "It has no key, so nobody can begin it again: fill another batch."


def _in_body(batch_id: str) -> list[str]:
    """The option that chooses this batch's letters, unless JSON spells its id in another way."""
    return ["--contains", batch_id] if msgspec.json.encode(batch_id).decode() == f'"{batch_id}"' else []


def _sent(found: Found) -> list[str]:
    batch = found.batch
    said = []
    if batch.fired:
        said.append("All members have succeeded, and `then` was sent." if batch.then else "All members have succeeded.")
    if batch.dead and batch.dead_told:
        said.append("`dead` was sent.")
    return said


def _missing(found: Found) -> list[str]:
    batch, status = found.batch, found.status
    repair = command("batches", "repair", batch.id)
    said = []
    if status.missing:
        said += [
            f"{counted(status.missing, 'member is', 'members are')} missing. {_WHERE}",
            f"see who waits: {command('queues')}",
            f"see dead letters: {command('dlq', 'list', *_in_body(batch.id))}",
        ]
    if status.dead:
        said += [
            f"{counted(status.dead, 'member is', 'members are')} dead. {_REDRIVEN}",
            f"redrive what has a letter: {repair} --redrive",
        ]
    if status.state == "succeeded":
        said += ["All members have succeeded, and the batch doesn't know it yet.", f"end it: {repair}"]
    if batch.dead and batch.dead_seen and not batch.dead_told:
        said += ["`dead` isn't sent yet.", f"send it: {repair}"]
    return said
