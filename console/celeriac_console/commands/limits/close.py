"""`celeriac limits close`: let a Breaker's tasks start again."""

from celeriac_console.application import by_name
from celeriac_console.commands.limits.done import do
from celeriac_console.commands.limits.options import By, DryRun, LimitName
from celeriac_console.limits.by import given_by, keys_of
from celeriac_console.limits.change import to_close
from celeriac_console.options import Json, Yes


def close(name: LimitName, *, by: By = None, dry_run: DryRun = False, yes: Yes = False, json_: Json = False) -> None:
    """Close a Breaker now, whoever has opened it: an operator, or failures. Its tasks try again.

    A Breaker with a `by`: what `celeriac limits open` has set ends for all values. What failures have opened is closed
    for the values of `--by`.

    Shows the change first, then asks, in a stage that keeps its data, such as prod.

    Example: celeriac --stage prod limits close bank --by host=api.bank.example
    """
    limited = by_name.limit(name)
    keys = keys_of(limited, given_by(by or [])) if by or not limited.limit.names else []
    do(to_close(name, keys), dry_run=dry_run, yes=yes, json_=json_)
