"""`celeriac dlq list`: print dead letters, grouped by kind or one by one."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import Annotated

import typer

from celeriac.aws import sqs
from celeriac.declare import registry
from celeriac.model.queue import Queue
from celeriac_console.application import by_name
from celeriac_console.application.loading import load
from celeriac_console.dlq.filter import Filter, filter_of
from celeriac_console.dlq.kinds import Kinds, kinds_as_json, show_kinds
from celeriac_console.dlq.letter import as_json, died_at, reason_of
from celeriac_console.dlq.options import Contains, Limit, OfError, OfTask, Since, Until
from celeriac_console.dlq.queue_reader import WORKERS, Pass, Taken, depth, hidden_for, say_missed
from celeriac_console.options import Json
from celeriac_console.terminal.plural import counted
from celeriac_console.terminal.progress import progress
from celeriac_console.terminal.screen import say
from celeriac_console.terminal.text import line

QUEUES_AT_ONCE = 4


@dataclass(slots=True)
class Found:
    """The dead letters that were found in a queue."""

    queue: str
    kinds: Kinds = field(default_factory=Kinds)
    letters: list[Taken] = field(default_factory=list)
    """Every letter, if single letters were asked for; else empty."""
    missed: int = 0
    is_deployed: bool = True


def list_letters(
    queue: Annotated[
        str | None,
        typer.Argument(metavar="QUEUE", help="The queue; if left out, all queues.", autocompletion=by_name.queue_names),
    ] = None,
    *,
    task: OfTask = None,
    error: OfError = None,
    since: Since = None,
    until: Until = None,
    contains: Contains = None,
    limit: Limit = None,
    each: Annotated[bool, typer.Option("--letters", help="Show each letter, not groups of letters.")] = False,
    json_: Json = False,
) -> None:
    """Show the dead letters of one queue or all, grouped by failure. Reading removes no letter.

    Example: celeriac dlq list payments --since 2h
    """
    wanted = filter_of(task, error, since, until, contains)
    by_name.warn_of_task(task)
    if queue is not None:
        found = [_read(by_name.queue(queue), wanted, limit, each=each, workers=WORKERS)]
    else:
        found = _read_all(wanted, limit, each=each)
    if json_:
        shown = [
            one
            for some in found
            for one in (
                [{"queue": some.queue} | as_json(taken) for taken in some.letters]
                if each
                else kinds_as_json(some.queue, some.kinds)
            )
        ]
        typer.echo(json.dumps(shown))
    else:
        _show(found, each=each)
    say_missed(sum(some.missed for some in found))


def _read_all(wanted: Filter, limit: int | None, *, each: bool) -> list[Found]:
    """The letters of every queue: several queues at a time, or one after the other if there is a limit.

    Raises NoSuchQueueError if no queue is deployed.
    """
    load()
    declared = list(registry.queues().values())
    if limit is None:
        with ThreadPoolExecutor(QUEUES_AT_ONCE) as pool:
            # The pool uses as many connections in total as a single queue does.
            found = list(pool.map(lambda queue: _looked(queue, wanted, None, each=each), declared))
    else:
        found, left = [], limit
        for queue in declared:
            some = _looked(queue, wanted, left, each=each) if left else Found(queue.name)
            found.append(some)
            left -= some.kinds.total
    if not any(some.is_deployed for some in found):
        depth(declared[0])  # raises NoSuchQueueError, whose text helps
    return found


def _looked(queue: Queue, wanted: Filter, limit: int | None, *, each: bool) -> Found:
    try:
        return _read(queue, wanted, limit, each=each, workers=WORKERS // QUEUES_AT_ONCE, quiet=True)
    except sqs.NoSuchQueueError:
        return Found(queue.name, is_deployed=False)


def _read(queue: Queue, wanted: Filter, limit: int | None, *, each: bool, workers: int, quiet: bool = False) -> Found:
    found, total, lock = Found(queue.name), depth(queue), Lock()
    reading = Pass(queue, hidden=hidden_for(total), workers=workers)
    with progress("reading", total, quiet=quiet) as advance:

        def visit(taken: Sequence[Taken]) -> set[str]:
            with lock:
                meant = [one for one in taken if wanted.matches(one.letter)]
                meant = meant if limit is None else meant[: limit - found.kinds.total]
                found.kinds.add(one.letter for one in meant)
                if each:
                    found.letters.extend(meant)
                if limit is not None and found.kinds.total >= limit:
                    reading.stop()
            advance(len(taken))
            return set()

        reading.run(visit)
    found.letters.sort(key=lambda one: died_at(one.letter))
    found.missed = reading.missed
    return found


def _show(found: Sequence[Found], *, each: bool) -> None:
    told = [some for some in found if some.kinds.total or len(found) == 1]
    for position, some in enumerate(told):
        if position:
            say("\n")
        if each:
            _show_letters(some)
        else:
            show_kinds(some.queue, some.kinds)
    none = [some.queue for some in found if some not in told and some.is_deployed]
    if none:
        say(f"{chr(10) if told else ''}no dead letters of {', '.join(none)}")
    if absent := [some.queue for some in found if not some.is_deployed]:
        say(f"not deployed: {', '.join(absent)}", stderr=True)


def _show_letters(found: Found) -> None:
    say(f"{counted(len(found.letters), 'dead letter')} of {found.queue}")
    for taken in found.letters:
        letter, failure = taken.letter, taken.letter.failure
        error = f", {failure.type}: {failure.message}" if failure is not None and failure.type else ""
        what = " ".join(f"{letter.task or '(unreadable)'}: {reason_of(letter)}{error}".split())
        say(f"{died_at(letter):%m-%d %H:%M:%S}Z  {line(letter.id)}  {line(what)}")
