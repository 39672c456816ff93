"""MiniStack with patches for what it lacks. Only this folder of the local cloud depends on MiniStack's internals.

- `<aws.scheduler.scheduled-time>` in a schedule's input: EventBridge Scheduler replaces it by the scheduled time of the
  firing. MiniStack 1.5.33 doesn't, so all firings of a recurring task would have the same id.
- Pages of schedules: MiniStack 1.5.33 lists the first 100 and has no token for more.
- The error of a worker that can't start, for example a failed import: Lambda writes it to the function's log. MiniStack
  writes it only into the response, which nobody sees when a queue is the caller.
- A worker's log lines, and its share of the processor: see `workers.py`.
- Roles are enforced: see `roles.py`.
"""

import importlib.util
import json
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

PLACEHOLDER = "<aws.scheduler.scheduled-time>"
# MiniStack checks its schedules every ten seconds, so a firing comes up to ten seconds late.
TICK = timedelta(seconds=10)


def with_time(target: dict[str, Any], fired_at: float | str) -> dict[str, Any]:
    """`target` with the placeholder in its input replaced by the start of the tick in which it fired.

    fired_at: seconds since 1970. Events of S3 have a text, and their targets no placeholder.
    """
    text = target.get("Input", "")
    if PLACEHOLDER not in text:
        return target
    fired_at = float(fired_at)
    time = datetime.fromtimestamp(fired_at // TICK.total_seconds() * TICK.total_seconds(), UTC)
    return target | {"Input": text.replace(PLACEHOLDER, time.strftime("%Y-%m-%dT%H:%M:%SZ"))}


def paged(list_all: Callable[[dict[str, Any]], Any], query: Mapping[str, Any]) -> Any:
    """A page of a list of schedules, in the order of their names. The token is the last name of the page before."""
    status, headers, body = list_all(dict(query) | {"MaxResults": sys.maxsize})
    last, most = query.get("NextToken", ""), int(query.get("MaxResults", 100))
    found = sorted(json.loads(body)["Schedules"], key=lambda one: str(one["Name"]))
    found = [one for one in found if one["Name"] > last]
    more = {"NextToken": found[most - 1]["Name"]} if len(found) > most else {}
    return status, headers, json.dumps({"Schedules": found[:most]} | more).encode()


def with_log(result: dict[str, Any]) -> dict[str, Any]:
    """The `result` of an invocation. If it failed without a log, its error becomes the log."""
    if not result.get("error") or result.get("log"):
        return result
    body = result["body"]
    return result | {"log": f"[ERROR] {body['errorType']}: {body['errorMessage']}"}


def _find_this_package() -> None:
    """Let this process import celeriac_local, and nothing else of the environment that celeriac_local is installed in.

    That environment has another botocore than MiniStack's.
    """
    del sys.path[0]  # this folder
    package = Path(__file__).parents[1]
    spec = importlib.util.spec_from_file_location(
        package.name, package / "__init__.py", submodule_search_locations=[str(package)]
    )
    assert spec is not None  # noqa: S101 - for the type checker: the file is beside this one
    sys.modules[package.name] = importlib.util.module_from_spec(spec)


def main() -> None:
    """Patch MiniStack and serve."""
    _find_this_package()
    # Installed in the emulator's environment only.
    from ministack.app import main as serve  # type: ignore[import-not-found]  # noqa: PLC0415
    from ministack.services import eventbridge, lambda_svc, scheduler  # type: ignore[import-not-found]  # noqa: PLC0415

    dispatch = eventbridge._invoke_target  # noqa: SLF001

    def invoke_target(target: dict[str, Any], event: dict[str, Any], *rest: Any, **options: Any) -> Any:
        return dispatch(with_time(target, event["Time"]), event, *rest, **options)

    eventbridge._invoke_target = invoke_target  # noqa: SLF001
    list_schedules = scheduler._list_schedules  # noqa: SLF001
    scheduler._list_schedules = lambda query: paged(list_schedules, query)  # noqa: SLF001
    execute = lambda_svc._execute_function_warm  # noqa: SLF001

    def execute_function(*arguments: Any) -> dict[str, Any]:
        return with_log(execute(*arguments))

    lambda_svc._execute_function_warm = execute_function  # noqa: SLF001

    from celeriac_local.emulator import roles, workers  # noqa: PLC0415 - needs MiniStack

    roles.install()
    workers.install()
    serve()


if __name__ == "__main__":
    main()
