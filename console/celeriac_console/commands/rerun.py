"""`celeriac rerun`: run a task again for a used idempotency key."""

from typing import Annotated

import typer

from celeriac import InvalidArgumentsError
from celeriac_console.commands.forget import Key, show_status
from celeriac_console.commands.send import Arg, Arguments, Timeout, Wait, arguments, sent
from celeriac_console.lookup.forget import task_with_records
from celeriac_console.lookup.rerun import prepared, refuse_unfinished
from celeriac_console.options import TaskName, Yes
from celeriac_console.terminal.confirm import confirm
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.times import duration


def rerun(
    task: TaskName,
    key: Key,
    *,
    arg: Arg = None,
    json_: Arguments = None,
    group: Annotated[str | None, typer.Option(help="The message's group.")] = None,
    yes: Yes = False,
    wait: Wait = False,
    timeout: Timeout = "60s",
) -> None:
    """Run a task again for a used key: delete the key's record, then send. Asks first. Fails while the task runs.

    Arguments are not stored after a task has succeeded. Give all of them except the key parameter's.

    Example: celeriac rerun process_payment p-1 --arg order_id=o-1 --arg amount_cents=500
    """
    found, longest = task_with_records(task), duration(timeout)
    try:  # before the record is deleted
        again = prepared(found, key, arguments(found, arg, json_), group=group)
    except InvalidArgumentsError as error:
        raise UserError(f"{error}. Arguments are not stored: give them with --arg or --json") from error
    status = show_status(found, again.full, again.seen)
    if status is not None:
        refuse_unfinished(found, key, status)
    if not yes:
        confirm("Run it again? Its effects happen a second time.", otherwise="add --yes")
    sent([again.run(status)], wait=wait, timeout=longest)
