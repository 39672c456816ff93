"""`celeriac doctor`: check a stage, and print the cure of each problem."""

import json
from itertools import groupby
from typing import Annotated

import typer

from celeriac_console.doctor.checks import check
from celeriac_console.doctor.finding import grouped
from celeriac_console.options import Json
from celeriac_console.terminal.errors import FAILED
from celeriac_console.terminal.screen import say


def doctor(
    *,
    after_restore: Annotated[
        bool, typer.Option("--after-restore", help="Also look for what a restored table has lost: stream, expiry.")
    ] = False,
    json_: Json = False,
) -> None:
    """Check credentials, stacks, queues, consumers, tables, outbox, alarms, quotas, and what no declaration knows.

    Prints the cure of each problem. Exit code 1 if there is any problem.

    Example: celeriac --stage prod doctor
    """
    findings = check(after_restore=after_restore)
    if json_:
        typer.echo(json.dumps([{"what": one.what, "ok": one.cure is None, "cure": one.cure} for one in findings]))
    else:
        # Problems in a row that have the same cure are printed together, followed by the cure once.
        for cure, some in groupby(grouped(findings), key=lambda group: group[1]):
            for what, _ in some:
                say(f"{'ok   ' if cure is None else 'WRONG'} {what}")
            if cure is not None:
                say(f"      {cure}", style="yellow")
    if any(one.cure is not None for one in findings):
        raise typer.Exit(FAILED)
