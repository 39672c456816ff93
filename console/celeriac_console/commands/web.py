"""`celeriac web`: the operators' page, in a browser on this machine."""

from typing import Annotated

import typer

from celeriac.model.extras import MissingExtraError, need
from celeriac_console.terminal.errors import UserError


def web(
    *,
    read_only: Annotated[bool, typer.Option("--read-only", help="Only look: no button does anything.")] = False,
    show_arguments: Annotated[
        bool, typer.Option("--show-arguments", help="Show the arguments of tasks without being asked for them.")
    ] = False,
    port: Annotated[
        int | None, typer.Option(min=1024, max=65535, help="The port to listen on.", show_default="the first from 4600")
    ] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Don't open a browser: print the link only.")] = False,
) -> None:
    """Show the stage in a browser: queues, dead letters, tasks, schedules, the outbox. It ends with Ctrl-C.

    The page works with your AWS credentials, and listens on this machine only.

    Example: celeriac --stage prod web --read-only
    """
    try:
        need("web", "the command `celeriac web`")
    except MissingExtraError as error:
        raise UserError(str(error)) from error
    from celeriac_console.web.serve import serve  # noqa: PLC0415 - needs the extra, and takes time

    serve(port, read_only=read_only, show_arguments=show_arguments, opens=not no_open)
