"""`celeriac dlq import`: put the dead letters of a file back."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from celeriac.aws import sqs
from celeriac.model.settings import stage
from celeriac_console.application import by_name
from celeriac_console.dlq.export_format import Exported, read
from celeriac_console.dlq.import_entry import entry
from celeriac_console.dlq.options import File
from celeriac_console.options import Json, QueueName
from celeriac_console.terminal.errors import FAILED, CommandInterruptedError, UserError
from celeriac_console.terminal.next_steps import command, same_command
from celeriac_console.terminal.plural import counted
from celeriac_console.terminal.progress import progress
from celeriac_console.terminal.screen import say


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
    declared = by_name.queue(queue)
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
        raise typer.Exit(FAILED)


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
