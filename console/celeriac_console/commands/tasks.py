"""`celeriac tasks`: every task with its declaration."""

import json

import typer

from celeriac.declare import registry
from celeriac_console.application.declared import declared
from celeriac_console.application.loading import load
from celeriac_console.options import Json
from celeriac_console.terminal.screen import say


def tasks(*, json_: Json = False) -> None:
    """Show every task: its queue, delivery, policy, limits, signature, schedule and subscription.

    Example: celeriac tasks
    """
    load()
    rows = [declared(task) for _, task in sorted(registry.tasks.items())]
    if json_:
        typer.echo(json.dumps(rows))
        return
    for row in rows:
        say(f"{row['task']}{row['signature']}", style="bold")
        keyed = f" by {row['key']}" if row["key"] else ""
        called_by = [f"the event {row['on']}"] if row["on"] else []
        called_by += [row["cron"]] if row["cron"] else []
        called_by += [f"AWS's events {row['on_aws']}"] if row["on_aws"] else []
        formerly = f" (formerly {', '.join(row['former_queues'])})" if row["former_queues"] else ""
        say(f"    queue {row['queue']}{formerly}, {row['delivery']}{keyed}, {row['retry']}")
        if row["limits"]:
            say(f"    limits {', '.join(f'{name} ({text})' for name, text in row['limits'].items())}")
        say(f"    called by {' and '.join(called_by) or 'enqueue'}")
