"""How `celeriac tail` shows each kind of line in a function's log, in both formats that Lambda writes."""

import json
from typing import Any

import pytest

from celeriac_console.tail.lines import Line, read

REQUEST = "8286a188-ba32-4475-8077-530cd35c09a9"


def platform(kind: str, **record: Any) -> str:
    return json.dumps({"time": "2026-11-25T10:00:00.123Z", "type": f"platform.{kind}", "record": record})


QUIET = {
    "nothing": "\n",
    "start": f"START RequestId: {REQUEST} Version: $LATEST\n",
    "end": f"END RequestId: {REQUEST}\n",
    "report": f"REPORT RequestId: {REQUEST}\tDuration: 3.21 ms\tBilled Duration: 4 ms\tMemory Size: 512 MB\t"
    "Max Memory Used: 84 MB\tInit Duration: 345.67 ms\t\n"
    "XRAY TraceId: 1-5759e988-bd862e3fe1be46a994272793\tSegmentId: 53995c3f42cd8ad8\tSampled: true\t\n",
    "report of the local cloud": f"REPORT RequestId: {REQUEST}\tDuration: 3 ms\tBilled Duration: 3 ms\t"
    "Memory Size: 512 MB\tMax Memory Used: 84 MB",
    "init": "INIT_START Runtime Version: python:3.13.v50\tRuntime Version ARN: arn:aws:lambda:eu-west-1::runtime:x\n",
    "init report": "INIT_REPORT Init Duration: 423.45 ms\tPhase: init\tStatus: success\n",
    "restore": "RESTORE_REPORT Restore Duration: 423.45 ms\n",
    "extension": "EXTENSION\tName: a\tState: Ready\tEvents: [INVOKE, SHUTDOWN]\n",
    "trace": "XRAY TraceId: 1-5759e988-bd862e3fe1be46a994272793\tSegmentId: 53995c3f42cd8ad8\tSampled: true\n",
    "hint": "[WARNING]\t2026-11-25T10:00:00.123Z\t\tLAMBDA_WARNING: Unhandled exception. The most likely cause is ...",
    "hint, by our handler": '{"level": "WARNING", "message": "LAMBDA_WARNING: Unhandled exception. The most likely"}',
    "metrics": '{"_aws": {"CloudWatchMetrics": []}, "Succeeded": [1.0], "message": "of metrics"}',
    "platform.start": platform("start", requestId=REQUEST, version="$LATEST"),
    "platform.initStart": platform("initStart", initializationType="on-demand", phase="init"),
    "platform.initReport": platform("initReport", phase="init", status="success", metrics={"durationMs": 125.33}),
    "platform.runtimeDone": platform("runtimeDone", requestId=REQUEST, status="success", metrics={"durationMs": 98.5}),
    "platform.report": platform(
        "report",
        requestId=REQUEST,
        status="success",
        metrics={"durationMs": 2599.4, "billedDurationMs": 2600, "memorySizeMB": 128, "maxMemoryUsedMB": 94},
    ),
    "platform.extension": platform("extension", name="a", state="Ready", events=[]),
    "platform, of an unknown kind": platform("spinDownStart", instanceId="i"),
}


@pytest.mark.parametrize("text", QUIET.values(), ids=QUIET)
def test_lines_of_lambda_about_success_are_not_shown(text: str) -> None:
    assert read(text) is None


ABOUT = {"request_id": REQUEST}
DEATHS = {
    "timeout": (
        f"2026-11-25T10:00:03.123Z {REQUEST} Task timed out after 3.00 seconds\n\n",
        Line(f"2026-11-25T10:00:03.123Z {REQUEST} Task timed out after 3.00 seconds"),
    ),
    "timeout on the local cloud": ("Task timed out after 3.00 seconds", Line("Task timed out after 3.00 seconds")),
    "report of a timeout": (
        (
            f"REPORT RequestId: {REQUEST}\tDuration: 3000.00 ms\tBilled Duration: 3000 ms\tMemory Size: 512 MB\t"
            "Max Memory Used: 84 MB\tStatus: timeout"
        ),
        Line("an invocation ended: timeout, after 3000.00 ms, 84 of 512 MB of memory used", fields=ABOUT),
    ),
    "killed": (
        f"RequestId: {REQUEST} Error: Runtime exited with error: signal: killed\nRuntime.ExitError\n",
        Line(f"RequestId: {REQUEST} Error: Runtime exited with error: signal: killed\nRuntime.ExitError"),
    ),
    "exit code": (
        f"RequestId: {REQUEST} Error: Runtime exited with error: exit status 7\nRuntime.ExitError",
        Line(f"RequestId: {REQUEST} Error: Runtime exited with error: exit status 7\nRuntime.ExitError"),
    ),
    "no reason": (
        f"RequestId: {REQUEST} Error: Runtime exited without providing a reason\nRuntime.ExitError",
        Line(f"RequestId: {REQUEST} Error: Runtime exited without providing a reason\nRuntime.ExitError"),
    ),
    "worker died on the local cloud": ("Worker process died", Line("Worker process died")),
    "out of memory": (
        (
            f"REPORT RequestId: {REQUEST}\tDuration: 1234.56 ms\tBilled Duration: 1235 ms\tMemory Size: 512 MB\t"
            "Max Memory Used: 512 MB\tStatus: error\tError Type: Runtime.OutOfMemory\t\n"
        ),
        Line(
            "an invocation ended: error Runtime.OutOfMemory, after 1234.56 ms, 512 of 512 MB of memory used, all of it",
            fields=ABOUT,
        ),
    ),
    "import error": (
        (
            "[ERROR] Runtime.ImportModuleError: Unable to import module 'consumer': No module named 'httpx'\n"
            "Traceback (most recent call last):"
        ),
        Line("Runtime.ImportModuleError: Unable to import module 'consumer': No module named 'httpx'"),
    ),
    "no handler": (
        (
            "[ERROR] Runtime.HandlerNotFound: Handler 'handler' missing on module 'consumer'\r"
            "Traceback (most recent call last):"
        ),
        Line("Runtime.HandlerNotFound: Handler 'handler' missing on module 'consumer'"),
    ),
    "syntax error": (
        (
            "[ERROR] Runtime.UserCodeSyntaxError: Syntax error in module 'consumer': invalid syntax (jobs.py, line 7)\r"
            'Traceback (most recent call last):\r\u00a0\u00a0File "/var/task/tasks/jobs.py" Line 7\r'
            "\u00a0\u00a0\u00a0\u00a0def :\n"
        ),
        Line(
            "Runtime.UserCodeSyntaxError: Syntax error in module 'consumer': invalid syntax (jobs.py, line 7)",
            'Traceback (most recent call last):\n  File "/var/task/tasks/jobs.py" Line 7\n    def :',
        ),
    ),
    "start of a worker": (
        "INIT_REPORT Init Duration: 121.45 ms\tPhase: init\tStatus: error\tError Type: Runtime.ImportModuleError\n",
        Line("a worker's start ended: error Runtime.ImportModuleError, after 121.45 ms"),
    ),
    "start of a worker that takes too long": (
        "INIT_REPORT Init Duration: 9999.79 ms\tPhase: init\tStatus: timeout",
        Line("a worker's start ended: timeout, after 9999.79 ms"),
    ),
    "raised": (
        (
            "[ERROR] KeyError: 'Records'\nTraceback (most recent call last):\n"
            '\u00a0\u00a0File "/var/task/celeriac/entry/consumer.py", line 3, in handler'
        ),
        Line(
            "KeyError: 'Records'",
            'Traceback (most recent call last):\n  File "/var/task/celeriac/entry/consumer.py", line 3, in handler',
        ),
    ),
    "raised, in JSON": (
        json.dumps(
            {
                "timestamp": "2026-11-25T10:00:00Z",
                "level": "ERROR",
                "errorMessage": "Unable to import module 'consumer': No module named 'httpx'",
                "errorType": "Runtime.ImportModuleError",
                "requestId": "",
                "stackTrace": ['  File "a.py", line 1\n', '  File "b.py", line 2\n'],
            }
        ),
        Line(
            "Runtime.ImportModuleError: Unable to import module 'consumer': No module named 'httpx'",
            '  File "a.py", line 1\n  File "b.py", line 2\n',
            timestamp="2026-11-25T10:00:00Z",
        ),
    ),
    "platform.report": (
        platform(
            "report",
            requestId=REQUEST,
            status="error",
            errorType="Runtime.OutOfMemory",
            metrics={"durationMs": 1234.56, "billedDurationMs": 1235, "memorySizeMB": 512, "maxMemoryUsedMB": 512},
        ),
        Line(
            "an invocation ended: error Runtime.OutOfMemory, after 1234.56 ms, 512 of 512 MB of memory used, all of it",
            timestamp="2026-11-25T10:00:00.123Z",
            fields=ABOUT,
        ),
    ),
    "platform.report of a timeout": (
        platform(
            "report",
            requestId=REQUEST,
            status="timeout",
            metrics={"durationMs": 3000.0, "billedDurationMs": 3000, "memorySizeMB": 128, "maxMemoryUsedMB": 40},
        ),
        Line(
            "an invocation ended: timeout, after 3000.0 ms, 40 of 128 MB of memory used",
            timestamp="2026-11-25T10:00:00.123Z",
            fields=ABOUT,
        ),
    ),
    "platform.runtimeDone": (
        platform("runtimeDone", requestId=REQUEST, status="failure", errorType="Runtime.ExitError"),
        Line("the handler ended: failure Runtime.ExitError", timestamp="2026-11-25T10:00:00.123Z", fields=ABOUT),
    ),
    "platform.initReport": (
        platform("initReport", phase="init", status="error", errorType="Runtime.ImportModuleError", metrics=None),
        Line("a worker's start ended: error Runtime.ImportModuleError", timestamp="2026-11-25T10:00:00.123Z"),
    ),
    "platform.fault": (
        json.dumps(
            {
                "time": "2026-11-25T10:00:00.123Z",
                "type": "platform.fault",
                "record": f"RequestId: {REQUEST} Error: Runtime exited with error: signal: killed\nRuntime.ExitError",
            }
        ),
        Line(
            f"RequestId: {REQUEST} Error: Runtime exited with error: signal: killed\nRuntime.ExitError",
            timestamp="2026-11-25T10:00:00.123Z",
        ),
    ),
}


@pytest.mark.parametrize(("text", "line"), DEATHS.values(), ids=DEATHS)
def test_lines_of_lambda_about_a_dying_worker_are_shown(text: str, line: Line) -> None:
    assert read(text) == Line(line.message, line.more, "ERROR", line.timestamp, line.fields, is_death=True)


OTHERS = {
    "printed outside a run": ("loading the model\n", Line("loading the model")),
    "memory full, but succeeded": (
        f"REPORT RequestId: {REQUEST}\tDuration: 3.21 ms\tMemory Size: 512 MB\tMax Memory Used: 513 MB\t\n",
        Line(
            "an invocation ended: success, after 3.21 ms, 513 of 512 MB of memory used, all of it",
            level="WARNING",
            fields=ABOUT,
        ),
    ),
    "logged through the runtime": (
        f"[WARNING]\t2026-11-25T10:00:00.123Z\t{REQUEST}\tslow\nvery slow\n",
        Line("slow\nvery slow", level="WARNING", timestamp="2026-11-25T10:00:00.123Z", fields=ABOUT),
    ),
    "logged": (
        '{"level": "INFO", "message": "3 rows", "timestamp": "t", "task": "load", "id": "i-1", "attempt": 2}',
        Line("3 rows", timestamp="t", fields={"task": "load", "id": "i-1", "attempt": 2}),
    ),
    "logged with an exception": (
        '{"level": "ERROR", "message": "failed", "exception": "Traceback ...\\nValueError: x"}',
        Line("failed", "Traceback ...\nValueError: x", "ERROR", fields={"exception": "Traceback ...\nValueError: x"}),
    ),
    "a message that is not a string": ('{"message": {"rows": 3}}', Line('{"rows": 3}')),
    "a JSON object of a task": (
        '{"event": "paid", "amount": 5, "task": "pay", "id": "i-1", "attempt": 1}',
        Line(
            '{"event": "paid", "amount": 5, "task": "pay", "id": "i-1", "attempt": 1}',
            fields={"task": "pay", "id": "i-1", "attempt": 1},
        ),
    ),
    "truncated JSON": ('{"half', Line('{"half')),
    "a list": ("[1, 2]", Line("[1, 2]")),
    "deep": ("{" * 100_000, Line("{" * 100_000)),
    "dropped": (
        platform("logsDropped", reason="too many", droppedRecords=12, droppedBytes=99),
        Line("Lambda dropped 12 lines of this log", level="WARNING", timestamp="2026-11-25T10:00:00.123Z"),
    ),
}


@pytest.mark.parametrize(("text", "line"), OTHERS.values(), ids=OTHERS)
def test_all_other_lines_of_a_log_are_shown(text: str, line: Line) -> None:
    assert read(text) == line


@pytest.mark.parametrize("odd", ["null", "5", '"text"', "[]", '{"metrics": []}', "{}"])
def test_reading_an_odd_platform_record_raises_no_error(odd: str) -> None:
    read(f'{{"type": "platform.report", "record": {odd}}}')
    read(f'{{"type": {odd}, "errorType": {odd}, "stackTrace": 5}}')
