"""Options and arguments of the commands `celeriac limits ...`."""

from typing import Annotated

import typer

from celeriac_console.application.by_name import limit_names

LimitName = Annotated[str, typer.Argument(help="The limit's name in tasks/limits.py.", autocompletion=limit_names)]
By = Annotated[
    list[str] | None,
    typer.Option("--by", metavar="NAME=VALUE", help="A value of the limit's `by`. Repeat it for several parameters."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be changed.")]
