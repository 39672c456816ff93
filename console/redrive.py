"""`celeriac dlq redrive`: dead letters back to their queue, changed where need be.

Each letter is sent first and deleted after: whatever interrupts it, nothing is lost, and running it again finishes the
rest. One that was sent and not deleted is sent twice; its task's record lets it run once.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Annotated, Any

import msgspec
import typer

from celeriac import sqs
from celeriac.dead_letter import DeadLetter
from celeriac.deliver import fitted
from celeriac.message import Malformed, NewerVersion, decode
from celeriac.queue import Queue
from celeriac.record import FIRST_SENT_AT
from celeriac.settings import stage
from celeriac.settle import FAILURE_ATTRIBUTE
from celeriac.signature import InvalidArgs
from console import known
from console.dead_letters import Kinds, find, show_kinds
from console.editor import edited
from console.filters import filter_of
from console.letters import HIDDEN, WORKERS, Pass, Taken, delete, depth, progress
from console.mistakes import PROBLEM, Mistake
from console.options import Contains, Json, Limit, OfError, OfTask, QueueName, Since, Until
from console.rate import Rate

type Change = Callable[[dict[str, Any]], dict[str, Any]]
"""What is to become of a letter's arguments."""
# What Celeriac noted beside a body it couldn't read: a redriven message begins anew.
OURS = frozenset({FAILURE_ATTRIBUTE, FIRST_SENT_AT})


def redrive(
    queue: QueueName,
    *,
    task: OfTask = None,
    error: OfError = None,
    since: Since = None,
    until: Until = None,
    contains: Contains = None,
    limit: Limit = None,
    id_: Annotated[str | None, typer.Option("--id", help="Only this letter: the task's id, or SQS's.")] = None,
    rate: Annotated[float | None, typer.Option(min=0.1, help="So many letters a second at most.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change an argument, as name=value; JSON or plain text.")
    ] = None,
    edit: Annotated[bool, typer.Option("--edit", help="Change the arguments of one letter in $EDITOR.")] = False,
    to: Annotated[str | None, typer.Option(help="Send them to this queue instead.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, send nothing.")] = False,
    json_: Json = False,
) -> None:
    """Send dead letters to their queue once more: each with its id and fresh attempts.

    Example: celeriac dlq redrive payments --task process_payment --since 2h --rate 20
    """
    source, target = known.queue(queue), known.queue(to or queue)
    changes = dict(_pair(text) for text in set_ or [])
    if edit and id_ is None:
        raise Mistake("--edit changes one letter: name it with --id")
    replaced = _edited(find(queue, id_)) if edit and id_ is not None else None
    wanted = filter_of(task, error, since, until, contains)
    pace = Rate(rate)
    # A worker holds no more letters than it can send while they are hidden.
    batch = max(1, min(10, int(rate * HIDDEN.total_seconds() / 4))) if rate else 10
    workers = WORKERS if rate is None or rate > WORKERS * batch else 1

    def change(args: dict[str, Any]) -> dict[str, Any]:
        return (args if replaced is None else replaced) | changes

    done, kinds, lock = Counter[str](), Kinds(), Lock()
    problems: list[str] = []
    reading = Pass(source, workers=workers, batch=batch)
    name = target.physical_name(stage())
    total = depth(source)

    def visit(taken: Sequence[Taken]) -> set[str]:
        meant = [one for one in taken if wanted.matches(one.letter) and id_ in {None, one.letter.id, one.message_id}]
        with lock:
            if limit is not None:
                meant = meant[: limit - done["matched"]]
            done["matched"] += len(meant)
            if (limit is not None and done["matched"] >= limit) or (id_ is not None and meant):
                reading.stop()
        advance(len(taken) - len(meant))
        if dry_run:
            kinds.add(one.letter for one in meant)
            advance(len(meant))
            return set()
        deleted: set[str] = set()
        for some in sqs_batches(meant, target, change, problems):
            pace.wait(len(some))
            refused = sqs.send_batch(name, [entry for _, entry in some])
            sent = [one for (one, _), problem in zip(some, refused, strict=True) if problem is None]
            problems.extend(problem.why for problem in refused if problem is not None)
            deleted |= delete(sqs.url(reading.name), sent)
            with lock:
                done["redriven"] += len(sent)
            advance(len(some))
        return deleted

    with progress("redriving", total) as advance:
        reading.run(visit, wait=not dry_run)
    _report(queue, to or queue, done, problems, kinds, dry_run=dry_run, json_=json_)


def sqs_batches(
    taken: Sequence[Taken], target: Queue, change: Change, problems: list[str]
) -> "list[list[tuple[Taken, sqs.Entry]]]":
    """What to send, in batches that SQS takes; a letter that can't be sent stays where it is, with the reason."""
    ready: list[tuple[Taken, sqs.Entry]] = []
    for one in taken:
        try:
            ready.append((one, entry(one, target, change)))
        except (InvalidArgs, Mistake) as error:
            problems.append(f"{one.letter.id}: {error}")
    return [[ready[i] for i in positions] for positions in sqs.batches([made.size for _, made in ready])]


def entry(taken: Taken, target: Queue, change: Change) -> sqs.Entry:
    """The message that a dead letter becomes. Raises InvalidArgs for changes that its task can't read."""
    message, letter = taken.message, taken.letter
    changed = change(letter.args)
    body = letter.body if changed == letter.args else _changed(letter, target, changed)
    group = message["Attributes"].get("MessageGroupId")
    attributes: Any = {name: value for name, value in message.get("MessageAttributes", {}).items() if name not in OURS}
    return sqs.Entry(
        body,
        group=(group or taken.message_id) if target.fifo else group,
        # The letter's own: sent twice, because it couldn't be deleted, it is one message to SQS for five minutes.
        deduplication=taken.message_id if target.fifo else None,
        attributes=attributes,
    )


def _changed(letter: DeadLetter, target: Queue, args: dict[str, Any]) -> str:
    try:
        message = decode(letter.body)
    except (Malformed, NewerVersion) as error:
        raise Mistake("its body can't be read, so no argument of it can be changed") from error
    raw = msgspec.json.encode(args)
    known.task(message.task).signature.decode(raw)
    changed = msgspec.structs.replace(message, args=msgspec.Raw(raw), stored="")
    return fitted(target.physical_name(stage()), changed, target.max_body_bytes)


def _edited(taken: Taken) -> dict[str, Any]:
    before = json.dumps(taken.letter.args, indent=2, ensure_ascii=False)
    try:
        after = json.loads(edited(before, ".json"))
    except ValueError as error:
        raise Mistake(f"what the editor left is no JSON: {error}") from error
    if not isinstance(after, dict):
        raise Mistake('the arguments are a JSON object, such as {"user_id": 7}')
    if after == taken.letter.args:
        raise Mistake("the editor left the arguments as they were: nothing is sent")
    known.task(taken.letter.task).signature.decode(msgspec.json.encode(after))
    return after


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise Mistake(f"--set takes name=value, not {text!r}")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _report(
    queue: str, to: str, done: Counter[str], problems: list[str], kinds: Kinds, *, dry_run: bool, json_: bool
) -> None:
    if dry_run:
        show_kinds(queue, kinds, json_=json_)
        return
    if json_:
        typer.echo(json.dumps({name: done[name] for name in ("matched", "redriven")} | {"problems": problems[:100]}))
    else:
        typer.echo(f"{done['redriven']} of {done['matched']} dead letters of {queue} redriven to {to}")
        if problems:
            typer.secho(f"{len(problems)} stay where they are, the first because of: {problems[0]}", err=True)
    if problems:
        raise typer.Exit(PROBLEM)
