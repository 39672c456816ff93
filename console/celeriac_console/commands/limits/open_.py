"""`celeriac limits open`: hold a Breaker open."""

from celeriac_console.commands.limits.done import do, who
from celeriac_console.commands.limits.options import DryRun, LimitName
from celeriac_console.limits.change import to_open
from celeriac_console.options import Json, Yes


def open_limit(name: LimitName, *, dry_run: DryRun = False, yes: Yes = False, json_: Json = False) -> None:
    """Hold a Breaker open, for all values of its `by`: its tasks wait until it is closed, and nothing is charged.

    Shows the change first, then asks, in a stage that keeps its data, such as prod.

    Example: celeriac --stage prod limits open bank
    """
    do(to_open(name, who()), dry_run=dry_run, yes=yes, json_=json_)
