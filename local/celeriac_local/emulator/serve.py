"""MiniStack, with what it lacks. Nothing else of the local cloud reaches into it.

`<aws.scheduler.scheduled-time>` in a schedule's input: Scheduler puts the time for which a firing was meant in its
place; MiniStack 1.5.33 leaves it as it is, so that all firings of a recurring task would have one id.

The error of a worker that can't start, a failed import for instance, in the function's log: Lambda writes it there,
MiniStack only into the answer, which nobody sees where a queue has called.

Roles are enforced: see `roles.py`.
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

PLACEHOLDER = "<aws.scheduler.scheduled-time>"
# MiniStack looks at its schedules every ten seconds, and fires a minute's within them.
TICK = timedelta(seconds=10)


def with_time(target: dict[str, Any], fired_at: float) -> dict[str, Any]:
    """`target` with the placeholder of its input filled, by the start of the tick in which it fired."""
    time = datetime.fromtimestamp(fired_at // TICK.total_seconds() * TICK.total_seconds(), UTC)
    text = target.get("Input", "")
    return target | {"Input": text.replace(PLACEHOLDER, time.strftime("%Y-%m-%dT%H:%M:%SZ"))} if text else target


def with_log(result: dict[str, Any]) -> dict[str, Any]:
    """`result` of an invocation, with its error for a log where it has failed and left none."""
    if not result.get("error") or result.get("log"):
        return result
    body = result["body"]
    return result | {"log": f"[ERROR] {body['errorType']}: {body['errorMessage']}"}


def main() -> None:
    """Patch and serve."""
    # This process finds `local` so; the functions, which it starts, inherit variables and no path.
    sys.path[0] = str(Path(__file__).parents[2])
    # Installed in the emulator's environment only.
    from ministack.app import main as serve  # type: ignore[import-not-found]  # noqa: PLC0415
    from ministack.services import eventbridge, lambda_svc  # type: ignore[import-not-found]  # noqa: PLC0415

    dispatch = eventbridge._invoke_target  # noqa: SLF001

    def invoke_target(target: dict[str, Any], event: dict[str, Any], *rest: Any, **options: Any) -> Any:
        return dispatch(with_time(target, float(event["Time"])), event, *rest, **options)

    eventbridge._invoke_target = invoke_target  # noqa: SLF001
    execute = lambda_svc._execute_function_warm  # noqa: SLF001

    def execute_function(*arguments: Any) -> dict[str, Any]:
        return with_log(execute(*arguments))

    lambda_svc._execute_function_warm = execute_function  # noqa: SLF001

    from celeriac_local.emulator import roles  # noqa: PLC0415 - needs MiniStack

    roles.install()
    serve()


if __name__ == "__main__":
    main()
