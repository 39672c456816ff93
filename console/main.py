"""`celeriac`: send tasks, see queues, read dead letters, replay events."""

import os
from typing import Annotated

import typer

from celeriac import names
from console import dead_letters, outbox, queues, send
from console.mistakes import explained

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="markdown")
dlq = typer.Typer(no_args_is_help=True, help="Dead letters: what failed for good, and why.")
app.add_typer(dlq, name="dlq")
events = typer.Typer(no_args_is_help=True, help="The outbox: what waits to be published, and publishing once more.")
app.add_typer(events, name="outbox")


@app.callback()
def main(
    stage: Annotated[str, typer.Option(envvar="CELERIAC_STAGE", help="The stage to work on.")] = "dev",
) -> None:
    """Work on a stage of Celeriac with your AWS credentials, region and profile.

    It follows AWS_ENDPOINT_URL, so it works on a local cloud alike.
    """
    try:
        os.environ["CELERIAC_STAGE"] = names.check_stage(stage)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


app.command("send")(explained(send.send))
app.command("queues")(explained(queues.queues))
dlq.command("list")(explained(dead_letters.list_letters))
events.command("lag")(explained(outbox.lag))
events.command("replay")(explained(outbox.replay))
