"""The local cloud's workers yield to the emulator, and all of their log lines are in the log."""

import json
import subprocess

import pytest

from celeriac_local.emulator.workers import NICENESS, with_end
from tests.support.installed import EMULATOR_PYTHON, ROOT

# Runs one worker of MiniStack's whose lines are read late, as on a busy machine. Prints what the log has.
LATE_READER = """
import io, json, sys, time, zipfile
sys.path[0] = sys.argv[1]
from celeriac_local.emulator import workers
workers.install()
from ministack.core.lambda_runtime import Worker

HANDLER = '''
import os
def handler(event, context):
    print("first", event)
    print(os.getpriority(os.PRIO_PROCESS, 0))
    if event == "raises":
        raise ValueError(event)
    if event == "dies":
        os._exit(1)
    return {}
'''
code = io.BytesIO()
with zipfile.ZipFile(code, "w") as file:
    file.writestr("index.py", HANDLER)

class Late(Worker):
    def _read_stderr(self):
        time.sleep(0.3)
        for line in self._proc.stderr:
            time.sleep(0.1)
            self._stderr_queue.put(line.rstrip())

arn = "arn:aws:lambda:eu-west-1:000000000000:function:f"
config = {"FunctionArn": arn, "FunctionName": "f", "Handler": "index.handler", "Runtime": "python3.13", "Timeout": 30}
worker = Late("f", config, code.getvalue())
print(json.dumps({event: worker.invoke(event, event)["log"] for event in ("one", "two", "raises", "three", "dies")}))
worker.kill()
"""


@pytest.mark.after_setup
def test_a_workers_lines_are_in_the_log_of_their_invocation_however_late_they_are_read() -> None:
    done = subprocess.run(
        [EMULATOR_PYTHON, "-c", LATE_READER, ROOT / "local"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    logs = json.loads(done.stdout.splitlines()[-1])
    assert logs == {event: f"first {event}\n{NICENESS}" for event in ("one", "two", "raises", "three", "dies")}


def test_another_version_of_ministack_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"doesn't fit this version of MiniStack"):
        with_end("def run():\n    pass\n\nrun()\n")
