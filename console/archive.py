"""`celeriac dlq discard`, `export` and `import`: dead letters deleted, and kept as a file."""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Annotated, Any

import typer

from celeriac import sqs
from celeriac.settings import stage
from console import known
from console.dead_letters import Kinds, as_json, show_kinds
from console.filters import Filter, filter_of
from console.letters import Pass, Taken, delete, depth, hidden_for, progress, say_missed
from console.mistakes import PROBLEM, Mistake
from console.options import Contains, Json, OfError, OfTask, QueueName, Since, Until, Yes
from console.text import printable

File = Annotated[Path, typer.Argument(metavar="FILE.jsonl", help="One dead letter a line.")]


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
    """Delete dead letters for good. Shows them first, and asks.

    Example: celeriac dlq discard payments --error "card declined" --until 7d
    """
    declared, wanted = known.queue(queue), filter_of(task, error, since, until, contains)
    shown: set[str] | None = None
    if not yes:
        kinds, shown = _preview(queue, wanted)
        show_kinds(queue, kinds, json_=False, stderr=True)
        typer.confirm("Delete them for good? (celeriac dlq export keeps a copy)", abort=True, err=True)
    reading, lock, discarded = Pass(declared), Lock(), 0
    url = sqs.url(reading.name)

    def visit(taken: Sequence[Taken]) -> set[str]:
        nonlocal discarded
        # What has come while the question was asked was not shown.
        meant = [one for one in taken if wanted.matches(one.letter) and (shown is None or one.message_id in shown)]
        deleted = delete(url, meant)
        with lock:
            discarded += len(deleted)
        advance(len(taken))
        return deleted

    with progress("discarding", reading.total) as advance:
        reading.run(visit, wait=True)
    typer.echo(json.dumps({"discarded": discarded}) if json_ else f"{discarded} dead letters of {queue} discarded")
    say_missed(reading)


def _preview(queue: str, wanted: Filter) -> tuple[Kinds, set[str]]:
    """What would be deleted, by kind and by SQS's ids."""
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
    json_: Json = False,
) -> None:
    """Write dead letters to a file, as they are and readable. They stay where they are.

    Example: celeriac dlq export payments dead.jsonl --since 7d
    """
    declared, wanted = known.queue(queue), filter_of(task, error, since, until, contains)
    total, lock, written = depth(declared), Lock(), 0
    with file.open("w", encoding="utf-8") as lines, progress("exporting", total) as advance:

        def visit(taken: Sequence[Taken]) -> set[str]:
            nonlocal written
            meant = [_line(one) for one in taken if wanted.matches(one.letter)]
            with lock:
                lines.writelines(meant)
                written += len(meant)
            advance(len(taken))
            return set()

        reading = Pass(declared, hidden=hidden_for(total))
        reading.run(visit)
    typer.echo(json.dumps({"exported": written}) if json_ else f"{written} dead letters of {queue} written to {file}")
    say_missed(reading)


def import_(
    queue: QueueName,
    file: File,
    *,
    json_: Json = False,
) -> None:
    """Put exported dead letters back into the dead-letter queue; redrive them from there.

    Example: celeriac dlq import payments dead.jsonl
    """
    declared = known.queue(queue)
    name = declared.dead_letter_name(stage())
    imported, problems = 0, list[str]()
    with file.open(encoding="utf-8") as lines:
        for _ in _entries(file, lines, fifo=declared.fifo):
            pass  # a file is taken as a whole, or not at all
    with file.open(encoding="utf-8") as lines:
        for entries in _batches(_entries(file, lines, fifo=declared.fifo)):
            refused = sqs.send_batch(name, entries)
            imported += sum(problem is None for problem in refused)
            problems += [problem.why for problem in refused if problem is not None]
    if json_:
        typer.echo(json.dumps({"imported": imported, "problems": problems[:100]}))
    else:
        typer.echo(f"{imported} dead letters put into {name}")
    if problems:
        typer.secho(f"{len(problems)} were not taken, the first because of: {printable(problems[0])}", err=True)
        raise typer.Exit(PROBLEM)


def _line(taken: Taken) -> str:
    message = taken.message
    raw = {
        "body": message["Body"],
        "group": message["Attributes"].get("MessageGroupId"),
        "attributes": {
            name: {
                "type": value["DataType"],
                "text": value.get("StringValue"),
                "base64": b64encode(value["BinaryValue"]).decode() if "BinaryValue" in value else None,
            }
            for name, value in message.get("MessageAttributes", {}).items()
        },
    }
    return json.dumps(as_json(taken) | {"sqs": raw}, ensure_ascii=False) + "\n"


def _entries(file: Path, lines: Any, *, fifo: bool) -> Iterator[sqs.Entry]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            letter = json.loads(line)
            raw = letter["sqs"]
            attributes: Any = {
                name: {"DataType": value["type"], "BinaryValue": b64decode(value["base64"])}
                if value["base64"] is not None
                else {"DataType": value["type"], "StringValue": value["text"]}
                for name, value in raw["attributes"].items()
            }
            yield sqs.Entry(
                raw["body"],
                group=(raw["group"] or letter["message_id"]) if fifo else raw["group"],
                deduplication=letter["message_id"] if fifo else None,
                attributes=attributes,
            )
        except (ValueError, KeyError, TypeError) as error:
            raise Mistake(f"{file}, line {number}: no dead letter of `celeriac dlq export`: {error!r}") from error


def _batches(entries: Iterator[sqs.Entry]) -> Iterator[list[sqs.Entry]]:
    batch: list[sqs.Entry] = []
    for entry in entries:
        if batch and len(list(sqs.batches([one.size for one in [*batch, entry]]))) > 1:
            yield batch
            batch = []
        batch.append(entry)
    if batch:
        yield batch
