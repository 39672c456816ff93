"""`celeriac dlq discard`, `export` and `import`: delete dead letters, write them to a file, and put them back."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import Lock
from typing import Annotated, TextIO

import typer

from celeriac.aws import sqs
from celeriac.model.settings import stage
from celeriac_console import known
from celeriac_console.dlq.exported import Exported, entry, line, read
from celeriac_console.dlq.filters import Filter, filter_of
from celeriac_console.dlq.kinds import Kinds, show_kinds
from celeriac_console.dlq.queue_reader import Pass, Taken, delete, depth, hidden_for, progress, say_missed
from celeriac_console.options import Contains, Json, OfError, OfTask, QueueName, Since, Until, Yes
from celeriac_console.terminal.asking import ask
from celeriac_console.terminal.errors import PROBLEM, CommandInterruptedError, UserError
from celeriac_console.terminal.next_steps import command, same_command
from celeriac_console.terminal.plural import counted
from celeriac_console.terminal.screen import say

File = Annotated[Path, typer.Argument(metavar="FILE.jsonl", help="A file with one dead letter per line.")]


def discard(
    queue: QueueName,
    *,
    task: OfTask = None,
    error: OfError = None,
    since: Since = None,
    until: Until = None,
    contains: Contains = None,
    yes: Yes = False,
    json_: Json = False,
) -> None:
    """Delete dead letters permanently. Shows them first, then asks.

    Example: celeriac dlq discard payments --error "card declined" --until 7d
    """
    declared, wanted = known.queue(queue), filter_of(task, error, since, until, contains)
    shown: set[str] | None = None
    if not yes:
        kinds, shown = _preview(queue, wanted)
        show_kinds(queue, kinds, stderr=True)
        ask(
            f"Delete them permanently, in the stage {stage()}? To keep a copy, answer no and use celeriac dlq export.",
            otherwise="add --yes to delete without being asked",
        )
    reading, lock, discarded = Pass(declared), Lock(), 0
    url = sqs.url(reading.name)

    def visit(taken: Sequence[Taken]) -> set[str]:
        nonlocal discarded
        # Letters that arrived after the preview weren't shown to the user, so they aren't deleted.
        meant = [one for one in taken if wanted.matches(one.letter) and (shown is None or one.message_id in shown)]
        deleted = delete(url, meant)
        with lock:
            discarded += len(deleted)
        advance(len(taken))
        return deleted

    try:
        with progress("discarding", reading.total) as advance:
            reading.run(visit, wait=True)
    except KeyboardInterrupt:
        said = f"{counted(discarded, 'dead letter')} of {queue} discarded"
        raise CommandInterruptedError(
            f"{said}. Go on: {same_command(since=wanted.since, until=wanted.until)}"
        ) from None
    said = f"{counted(discarded, 'dead letter')} of {queue} discarded"
    typer.echo(json.dumps({"discarded": discarded}) if json_ else said)
    say_missed(reading.missed)


def _preview(queue: str, wanted: Filter) -> tuple[Kinds, set[str]]:
    """The letters that would be deleted: counted by kind, and their SQS message ids."""
    kinds, ids, declared = Kinds(), set[str](), known.queue(queue)
    total = depth(declared)

    def visit(taken: Sequence[Taken]) -> set[str]:
        meant = [one for one in taken if wanted.matches(one.letter)]
        kinds.add(one.letter for one in meant)
        ids.update(one.message_id for one in meant)
        advance(len(taken))
        return set()

    with progress("reading", total) as advance:
        Pass(declared, hidden=hidden_for(total)).run(visit)
    return kinds, ids


def export(
    queue: QueueName,
    file: File,
    *,
    task: OfTask = None,
    error: OfError = None,
    since: Since = None,
    until: Until = None,
    contains: Contains = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    json_: Json = False,
) -> None:
    """Write dead letters to a file, with everything they need to run again. The letters stay in their queue.

    The file gets its name only when it is complete.

    Example: celeriac dlq export payments dead.jsonl --since 7d
    """
    declared, wanted = known.queue(queue), filter_of(task, error, since, until, contains)
    total, lock, written = depth(declared), Lock(), 0
    missing: list[str] = []
    reading = Pass(declared, hidden=hidden_for(total))
    try:
        with _whole(file, force=force) as lines, progress("exporting", total) as advance:

            def visit(taken: Sequence[Taken]) -> set[str]:
                nonlocal written
                meant = [one for one in taken if wanted.matches(one.letter)]
                made = [line(reading.name, one) for one in meant]
                with lock:
                    lines.writelines(made)
                    written += len(made)
                    missing.extend(f"{one.letter.id}: {one.letter.missing}" for one in meant if one.letter.missing)
                advance(len(taken))
                return set()

            reading.run(visit)
    except KeyboardInterrupt:
        raise CommandInterruptedError(f"{file} is not written. From the start: {same_command()}") from None
    said = f"{counted(written, 'dead letter')} of {queue} written to {file}"
    say(json.dumps({"exported": written, "missing": missing[:100]}) if json_ else said)
    if missing:
        lost = f"{counted(len(missing), 'letter')} can't be run again, not even from this file"
        say(f"{lost}. The first, {missing[0]}", stderr=True)
    say_missed(reading.missed)
    if missing:
        raise typer.Exit(PROBLEM)


@contextmanager
def _whole(file: Path, *, force: bool) -> Iterator[TextIO]:
    """A file that gets its name when it is complete.

    Raises UserError if `file` is a folder, or if it exists and `force` is not set.
    """
    if file.is_dir():
        raise UserError(f"{file} is a folder: name a file in it, such as {file / 'dead.jsonl'}")
    if file.exists() and not file.is_file():  # for example /dev/stdout
        with file.open("w", encoding="utf-8") as lines:
            yield lines
        return
    if file.exists() and not force:
        raise UserError(f"{file} is there already: name another file, or replace it with --force")
    target = file.resolve()
    with NamedTemporaryFile("w", encoding="utf-8", dir=target.parent, prefix=f".{file.name}.", delete=False) as lines:
        try:
            yield lines  # type: ignore[misc]  # a wrapper with every method of a TextIO
            lines.flush()
            # The user may discard the letters next, so the file must survive a crash of this machine.
            os.fsync(lines.fileno())
            Path(lines.name).replace(target)
        except BaseException:
            Path(lines.name).unlink(missing_ok=True)
            raise


def import_(
    queue: QueueName,
    file: File,
    *,
    skip: Annotated[int, typer.Option(min=0, help="Skip this many letters: those that were imported before.")] = 0,
    json_: Json = False,
) -> None:
    """Put exported dead letters back into the dead-letter queue. Redrive them from there.

    A redrive then runs them, even if the letters or their payloads were deleted after the export. It skips tasks that
    have succeeded meanwhile.

    Example: celeriac dlq import payments dead.jsonl
    """
    declared = known.queue(queue)
    name = declared.dead_letter_name(stage())
    if not file.exists():
        raise UserError(f"there is no file {file}")
    if not file.is_file():
        raise UserError(f"{file} is not a regular file: import reads it twice, first to check every line, then to send")
    # Every line is checked first: a file with a bad line is not imported at all.
    total = sum(1 for _ in _letters(file)) - skip
    if total < 0:
        raise UserError(f"{file} holds {counted(total + skip, 'dead letter')}: --skip {skip} leaves out more")
    mark = os.urandom(6).hex()
    made = (
        (number, entry(letter, declared, mark=mark, number=number))
        for number, letter in _letters(file)
        if number > skip
    )
    imported, done, problems = 0, 0, list[str]()
    try:
        with progress("importing", total) as advance:
            for numbered in _batches(made):
                refused = sqs.send_batch(name, [one for _, one in numbered])
                done += len(numbered)
                imported += sum(problem is None for problem in refused)
                problems += [
                    f"letter {number}, {problem.why}"
                    for (number, _), problem in zip(numbered, refused, strict=True)
                    if problem is not None
                ]
                advance(len(numbered))
    except KeyboardInterrupt:
        what = f"{imported} of {counted(total, 'dead letter')} put into {name}"
        raise CommandInterruptedError(f"{what}. Go on with the others: {same_command(skip=skip + done)}") from None
    if json_:
        typer.echo(json.dumps({"imported": imported, "problems": problems[:100]}))
    else:
        say(f"{counted(imported, 'dead letter')} put into {name}. Run them: {command('dlq', 'redrive', queue)}")
    if problems:
        say(f"{len(problems)} not taken, the first: {problems[0]}", stderr=True)
        raise typer.Exit(PROBLEM)


def _letters(file: Path) -> Iterator[tuple[int, Exported]]:
    """The letters of a file, numbered from 1. Raises UserError, which names the line, for a line that can't be read."""
    with file.open(encoding="utf-8") as lines:
        try:
            texts = ((at, text) for at, text in enumerate(lines, start=1) if text.strip())
            yield from ((number, read(text, f"{file}, line {at}")) for number, (at, text) in enumerate(texts, start=1))
        except UnicodeDecodeError as error:
            raise UserError(f"{file} is no text in UTF-8: no file of `celeriac dlq export`") from error


def _batches(entries: Iterator[tuple[int, sqs.Entry]]) -> Iterator[list[tuple[int, sqs.Entry]]]:
    batch: list[tuple[int, sqs.Entry]] = []
    for one in entries:
        if batch and len(list(sqs.batches([entry.size for _, entry in [*batch, one]]))) > 1:
            yield batch
            batch = []
        batch.append(one)
    if batch:
        yield batch
