"""`celeriac limits reset`: what is declared counts again."""

from typing import Annotated

import typer

from celeriac_console.application import by_name
from celeriac_console.commands.limits.done import do
from celeriac_console.commands.limits.options import By, DryRun, LimitName
from celeriac_console.limits.by import given_by, keys_of
from celeriac_console.limits.change import to_reset
from celeriac_console.options import Json, Yes
from celeriac_console.terminal.errors import UserError


def reset(
    name: LimitName,
    *,
    items: Annotated[
        bool,
        typer.Option("--items", help="Also forget the line and a provider's refusal; of a Breaker, its failures."),
    ] = False,
    by: By = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    json_: Json = False,
) -> None:
    """Remove what `celeriac limits set` or `open` has set: what the code declares counts again.

    With `--items`, the line is forgotten too. Starts that were taken stay counted, and places that are held stay held.
    A limit with a `by` needs the values: `--by account=7`. Shows the change first, then asks, in a stage that keeps its
    data, such as prod.

    Example: celeriac --stage prod limits reset stripe
    """
    if by and not items:
        raise UserError("--by says which item to clear, together with --items: what is set is set for all values")
    keys = keys_of(by_name.limit(name), given_by(by or [])) if items else None
    do(to_reset(name, keys), dry_run=dry_run, yes=yes, json_=json_)
