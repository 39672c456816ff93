"""`celeriac limits`: show every limit, how it stands, and what is set."""

from collections.abc import Sequence

import msgspec
import typer

from celeriac_console.application.limited import Limited, limits
from celeriac_console.application.loading import load
from celeriac_console.commands.limits.options import By
from celeriac_console.explain import explained
from celeriac_console.limits.by import given_by, keys_of
from celeriac_console.limits.items import MOST_PAGES
from celeriac_console.limits.rows import Row, busiest, looked_up, read_rows
from celeriac_console.limits.table import table
from celeriac_console.options import Json
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.screen import Screen, say


def show_limits(ctx: typer.Context, *, by: By = None, json_: Json = False) -> None:
    """Show every limit that tasks name: what is declared, how it stands now, who waits, and what is set.

    All numbers are rough: tasks that haven't asked yet aren't counted. A limit with a `by` has an item for each value,
    which is named by its hash: the busiest ones are shown, of the first ten megabytes of the table. With `--by`, only
    the limits with these parameters, for exactly these values.

    Example: celeriac --stage prod limits --by account=7
    """
    if ctx.invoked_subcommand is None:
        explained(_show)(by or [], json_=json_)
    elif by or json_:
        raise typer.BadParameter(f"write the options behind the command: celeriac limits {ctx.invoked_subcommand} ...")


def _show(by: Sequence[str], *, json_: bool) -> None:
    load()
    known = limits()
    rows, is_cut = _looked_up(by, known) if by else busiest(read_rows(known), known)
    if json_:
        typer.echo(msgspec.json.encode(rows).decode())
    elif not rows:
        say("no task has a limit: declare one in tasks/limits.py, and name it in @task(queue, limits=[...])")
    else:
        screen = Screen()
        screen.print(table(rows, screen))
    if is_cut:
        say(
            f"The table has more items than {MOST_PAGES} megabytes, and only these were read. Look one up: "
            "celeriac limits --by NAME=VALUE",
            stderr=True,
        )


def _looked_up(by: Sequence[str], known: dict[str, Limited]) -> tuple[list[Row], bool]:
    given = given_by(by)
    wanted = {name: each for name, each in known.items() if set(each.limit.names) == set(given)}
    if not wanted:
        names = sorted({" and ".join(each.limit.names) for each in known.values() if each.limit.names})
        cure = f"there are limits by {', and by '.join(names)}" if names else "no limit has a `by`: leave --by out"
        raise UserError(f"no limit is by {' and '.join(sorted(given))}: {cure}")
    rows = [row for row in read_rows(wanted) if row.name in wanted]
    return [looked_up(row, wanted[row.name].limit, keys_of(wanted[row.name], given)) for row in rows], False
