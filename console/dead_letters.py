"""`celeriac dlq`: what is dead, and why."""

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from celeriac import dead_letter, registry, settings, sqs
from celeriac.aws import client
from celeriac.dead_letter import DeadLetter
from celeriac.queue import Queue
from console.mistakes import Mistake

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

# Long enough to read some hundred letters; what was read is given back at once, this is for a killed command.
READING_SECONDS = 60


def list_letters(
    queue: Annotated[str, typer.Argument(help="The queue whose dead letters to show.")],
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Show so many at most.")] = 20,
    *,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON, one dead letter a line.")] = False,
) -> None:
    """Show dead letters and their reasons. Reading takes nothing away.

    Example: `celeriac dlq list payments`
    """
    registry.load()
    known = registry.queues()
    if queue not in known:
        raise Mistake(f"no queue is named {queue!r}; known are {', '.join(sorted(known))}")
    letters = read(known[queue], limit)
    if json_:
        for letter in letters:
            typer.echo(json.dumps(_plain(letter)))
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{len(letters)} dead letters of {queue}{', the first ones' if len(letters) == limit else ''}")
    for letter in letters:
        failure = letter.failure
        died = failure.last_at if failure and failure.last_at else letter.sent_at
        reason = failure.reason if failure else "received too often"
        console.print(
            f"\n{died:%Y-%m-%d %H:%M:%S}  {letter.id}  {letter.task or '(unreadable)'}  {reason}", markup=False
        )
        if failure is not None:
            console.print(f"  {failure.type}: {failure.message}", markup=False)


def read(queue: Queue, limit: int) -> list[DeadLetter]:
    """Up to `limit` dead letters of `queue`, oldest first; what is read is visible to others again at once."""
    name = queue.dead_letter_name(settings.stage())
    url = sqs.url(name)
    messages: list[MessageTypeDef] = []
    try:
        while len(messages) < limit:
            received = client("sqs").receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=min(10, limit - len(messages)),
                VisibilityTimeout=READING_SECONDS,
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            )
            batch = received.get("Messages", [])
            if not batch:
                break
            messages += batch
        return sorted((dead_letter.read(name, message) for message in messages), key=lambda letter: letter.sent_at)
    finally:
        for message in messages:
            client("sqs").change_message_visibility(
                QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
            )


def _plain(letter: DeadLetter) -> dict[str, object]:
    failure = letter.failure
    return {
        "id": letter.id,
        "task": letter.task,
        "args": letter.args,
        "reason": failure.reason if failure else "received too often",
        "error": failure.type if failure else "",
        "message": failure.message if failure else "",
        "traceback": failure.traceback if failure else "",
        "sent_at": letter.sent_at.isoformat(),
    }
