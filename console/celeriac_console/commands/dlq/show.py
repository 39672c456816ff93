"""`celeriac dlq show`: print one dead letter, with arguments, traceback and the query for its logs."""

import json
from typing import Annotated

import typer

from celeriac_console.dlq.find import find
from celeriac_console.dlq.letter import as_json, attempts_of, died_at, kind_of, reason_of
from celeriac_console.dlq.logs import log_query
from celeriac_console.options import Json, QueueName
from celeriac_console.terminal.plural import counted
from celeriac_console.terminal.screen import say
from celeriac_console.terminal.text import line

# `dlq show` prints this many characters of a letter's arguments or body.
MOST_CONTENT = 20_000


def show(
    queue: QueueName,
    id_: Annotated[str, typer.Argument(metavar="ID", help="The task's id, or SQS's message id.")],
    *,
    json_: Json = False,
) -> None:
    """Show one dead letter: its arguments, its failure, and where its logs are.

    Example: celeriac dlq show payments 0198f3c2-7a44-7bd1-a1c5-2f4b8f6f7a11
    """
    found = find(queue, id_)
    letter, failure = found.letter, found.letter.failure
    logs = log_query(letter)
    if json_:
        typer.echo(json.dumps(as_json(found) | {"logs": logs}))
        return
    say(line(f"{letter.task or '(unreadable)'}  {letter.id}"), style="bold")
    say(f"{line(reason_of(letter))}, after {counted(attempts_of(letter), 'attempt')}; kind {kind_of(letter)}")
    if failure is not None and failure.first_at is not None:
        say(f"enqueued {failure.first_at:%Y-%m-%d %H:%M:%S}Z, died {died_at(letter):%Y-%m-%d %H:%M:%S}Z")
    say("\narguments" if letter.args else "\nbody")
    content = json.dumps(letter.args, indent=2, ensure_ascii=False) if letter.args else letter.body
    say(content[:MOST_CONTENT])
    if len(content) > MOST_CONTENT:
        say(f"... {len(content) - MOST_CONTENT} more characters: --json prints them all", style="yellow")
    for name, value in letter.attributes.items():
        say(line(f"attribute {name}: {value.get('StringValue') or value.get('BinaryValue')!r}"))
    if letter.missing:
        say(letter.missing, style="red")
    if failure is not None and failure.type:
        say(f"\n{failure.type}: {failure.message}", style="bold")
        say(failure.traceback)
    if logs:
        say(f"\nlogs, in CloudWatch Logs Insights over {logs['log_group']}:")
        say(logs["query"])
