"""`celeriac dlq export`: write dead letters to a file."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import Lock
from typing import Annotated, TextIO

import typer

from celeriac_console.application import by_name
from celeriac_console.dlq.export_format import line
from celeriac_console.dlq.filter import filter_of
from celeriac_console.dlq.options import Contains, File, OfError, OfTask, Since, Until
from celeriac_console.dlq.queue_reader import Pass, Taken, depth, hidden_for, say_missed
from celeriac_console.options import Json, QueueName
from celeriac_console.terminal.errors import FAILED, CommandInterruptedError, UserError
from celeriac_console.terminal.next_steps import same_command
from celeriac_console.terminal.plural import counted
from celeriac_console.terminal.progress import progress
from celeriac_console.terminal.screen import say


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
    declared, wanted = by_name.queue(queue), filter_of(task, error, since, until, contains)
    by_name.warn_of_task(task)
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
                    lines.writelines(text for text, _ in made)
                    written += len(made)
                    missing.extend(f"{one.letter.id}: {why}" for one, (_, why) in zip(meant, made, strict=True) if why)
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
        raise typer.Exit(FAILED)


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
