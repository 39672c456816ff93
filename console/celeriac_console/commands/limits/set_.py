"""`celeriac limits set`: change a rate or a number of places at run time."""

from typing import Annotated

import typer

from celeriac_console.commands.limits.done import do, who
from celeriac_console.commands.limits.options import DryRun, LimitName
from celeriac_console.limits.change import to_set
from celeriac_console.options import Json, Yes


def set_limit(
    name: LimitName,
    value: Annotated[
        str, typer.Argument(help="For a Rate 50/min, 100/s, 5/h, 5000/d or '10 in 5m'; for a Concurrent the places.")
    ],
    *,
    burst: Annotated[int | None, typer.Option("--burst", help="How many may start at once after a quiet time.")] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    json_: Json = False,
) -> None:
    """Change a rate, or a number of places, without a deploy. Workers apply it within a minute, until it is reset.

    Shows the change first, then asks, in a stage that keeps its data, such as prod. Of two operators at once, one is
    told that it was changed meanwhile.

    Example: celeriac --stage prod limits set stripe 50/min
    """
    do(to_set(name, value, burst, who()), dry_run=dry_run, yes=yes, json_=json_)
