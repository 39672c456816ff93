"""A newcomer's first evening, typed in: a clone, the quickstart's first task, a change of it, a task with its own
bucket.

    python -m tests.e2e.first_evening

The shell is set up for an AWS account: AWS_PROFILE names a profile whose endpoint is a listener of this program. No
call may reach the listener.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.infra.test_howto_own_resources import BUILD, GRANT, patched
from tests.infra.test_howto_own_resources import TASK as STATEMENTS
from tests.support.howto import QUICKSTART, ROOT, blocks, typed_in
from tests.support.scratch import say

QUEUE, TASK, TEST, *_ = blocks(QUICKSTART, "python")
(REMOVAL,) = re.findall(r"^rm -r functions/tasks.*?(?=```)", QUICKSTART.read_text(), flags=re.MULTILINE | re.DOTALL)
LIMIT_SECONDS = 600


class WrongError(Exception):
    """A result that a newcomer would not expect."""


class Evening:
    """The shell of a newcomer, in its own folder."""

    def __init__(self, folder: Path, listener: str) -> None:
        self.clone = folder / "ein Abend, spät" / "celeriac"
        home = folder / "home"
        (home / ".aws").mkdir(parents=True)
        (home / ".aws" / "config").write_text(
            f"[profile dev]\nregion = eu-west-1\nendpoint_url = {listener}\n"
            "role_arn = arn:aws:iam::123456789012:role/dev\nsource_profile = keys\n"
        )
        (home / ".aws" / "credentials").write_text("[keys]\naws_access_key_id = AKIA\naws_secret_access_key = dev\n")
        real = Path.home()
        self._shell = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "AWS_PROFILE": "dev",
            "AWS_ENDPOINT_URL_SQS": listener,
            # Where packages and interpreters are found. This is not part of the evening.
            "PYENV_ROOT": os.environ.get("PYENV_ROOT", str(real / ".pyenv")),
            **{name: value for name, value in os.environ.items() if name.startswith(("UV_", "PIP_", "npm_"))},
        }

    def types(self, command: str, *, fails: bool = False, **variables: str) -> str:
        """Run a command in a shell where `.venv` is activated, and return what it prints on standard output."""
        activated = f"if [ -f .venv/bin/activate ]; then . .venv/bin/activate; fi; {command}"
        say(f"$ {command}")
        started = time.monotonic()
        done = subprocess.run(
            ["/bin/bash", "-c", activated],
            cwd=self.clone,
            env=self._shell | variables,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
        for line in (done.stdout + done.stderr).splitlines()[-4:]:
            say(f"    {line}")
        say(f"    ({time.monotonic() - started:.1f} s)")
        if (done.returncode != 0) is not fails or "Traceback" in done.stderr:
            raise WrongError(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout + (done.stderr if fails else "")

    def file(self, name: str) -> Path:
        """A file of the clone."""
        return self.clone / name

    def finds(self, command: str, words: str, *, fails: bool = False) -> str:
        """Run a command repeatedly, for up to half a minute, until it prints these words."""
        deadline = time.monotonic() + 30
        while words not in (said := self.types(command, fails=fails)):
            if time.monotonic() > deadline:
                raise WrongError(f"{command} does not say {words!r}, it says:\n{said}")
            time.sleep(1)
        return said


def spend(evening: Evening) -> None:
    """Run all steps of the evening."""
    clone = evening.clone
    clone.parent.mkdir(parents=True)
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)

    _two_commands(evening)
    _first_task(evening)
    _change_and_failure(evening)
    _own_bucket(evening)
    _remove_the_samples(evening)


def _two_commands(evening: Evening) -> None:
    demo = evening.types("make demo")
    _expect("Every count is what it must be" in demo, "the demo's counts are right", demo)
    evening.types("make test ARGS=tests/behaviour/test_enqueue_and_run.py")


def _first_task(evening: Evening) -> None:
    typed_in(evening.clone, QUEUE, "queues")
    evening.file("functions/tasks/reports.py").write_text(TASK)
    evening.file("tests/test_reports.py").write_text(TEST)
    evening.types("make test ARGS=tests/test_reports.py")
    evening.types("pytest -q tests/test_reports.py")
    evening.types("make up")
    ref = evening.types("celeriac --stage local send monthly_report --arg month=2026-10").strip()
    evening.finds(f"celeriac --stage local status {ref}", "monthly_report: succeeded")
    evening.finds(f"celeriac --stage local status {ref.split('/')[1]}", "monthly_report: succeeded")


def _change_and_failure(evening: Evening) -> None:
    # Add a print and change the result. The key was used before.
    changed = TASK.replace('    return {"report"', '    print("written for", month)\n    return {"report"').replace(
        "reports/{month}.pdf", "reports/{month}.html"
    )
    evening.file("functions/tasks/reports.py").write_text(changed)
    evening.types("make up")
    again = evening.types("celeriac --stage local send monthly_report --arg month=2026-10 2>&1")
    _expect("duplicate of " in again and ", succeeded" in again, "send says that the key was used", again)
    rerun = evening.types("celeriac --stage local rerun monthly_report 2026-10 --yes --wait")
    _expect("reports/2026-10.html" in rerun, "the changed code has run", rerun)
    evening.finds("celeriac --stage local tail reports --no-follow --since 5m", "written for 2026-10")

    # A task that fails.
    dead = evening.types("celeriac --stage local send monthly_report --arg month=someday --wait 2>&1", fails=True)
    see = next(line for line in dead.splitlines() if line.startswith("see it: ")).removeprefix("see it: ")
    _expect("no such month" in evening.types(see), "the letter says why", dead)
    evening.types("celeriac --stage local dlq export reports letters.jsonl")
    evening.types("celeriac --stage local dlq discard reports --yes")
    evening.types("celeriac --stage local dlq import reports letters.jsonl")
    evening.types("celeriac --stage local dlq redrive reports --set month=2026-09")
    evening.finds("celeriac --stage local status 2026-09", "monthly_report: succeeded")


VARIABLES = {"STATEMENTS_BUCKET": "STATEMENTS", "SIGNING_KEY": "SIGNING_KEY"}


def _own_bucket(evening: Evening) -> None:
    """A task with its own bucket, secret and package. At first it lacks the permission to use them."""
    evening.types("uv add markdown-it-py")
    evening.file("functions/tasks/statements.py").write_text(STATEMENTS)
    application = evening.file("infra/application.py")
    built, granted = patched(application.read_text(), BUILD), GRANT
    names = (f"{each}={name}.physical_name(config.stage)" for each, name in (VARIABLES.items()))
    without = re.sub(r"(?m)^(\+ +application\.queue\(.*?\))\..*$", rf"\1.environment({', '.join(names)})", granted)
    application.write_text(patched(built, without))
    evening.types("make up")
    send = "celeriac --stage local send write_statement " + shlex.join(
        ["--json", json.dumps({"account": "a-1", "month": "2026-10", "cents": 500})]
    )
    refused = evening.types(send).strip()
    evening.finds(f"celeriac --stage local status {refused}", "infra/application.py")
    application.write_text(patched(built, granted))
    evening.types("make up")
    sent = evening.types(send.replace("a-1", "a-2") + " --wait")
    _expect("a-2/2026-10.html" in sent, "the statement is written", sent)


def _remove_the_samples(evening: Evening) -> None:
    evening.types(REMOVAL)
    evening.types("make up")
    told = evening.types("make demo", fails=True)
    _expect("has no [[demo]]" in told, "without the samples the demo says how to name tasks for it", told)
    with (evening.clone / "celeriac.toml").open("a") as file:
        file.write('[[demo]]\ntask = "monthly_report"\nargs = { month = "2026-09" }\n')
    told = evening.types("make demo")
    _expect("Every task has ended" in told, "the demo sends the tasks that celeriac.toml names", told)
    evening.types("celeriac --stage local queues")


def _expect(holds: bool, what: str, said: str) -> None:  # noqa: FBT001 - the condition to check
    say(f"  {'ok   ' if holds else 'WRONG'} {what}")
    if not holds:
        raise WrongError(f"not true: {what}:\n{said}")


class _Listener(BaseHTTPRequestHandler):
    calls: list[str] = []  # noqa: RUF012 - one server, one list

    def __getattr__(self, name: str) -> object:
        if not name.startswith("do_"):
            raise AttributeError(name)
        return self._record

    def _record(self) -> None:
        self.calls.append(f"{self.command} {self.path} {self.headers.get('Host', '')}")
        self.send_response(500)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing: the recorded requests are the result."""


def main() -> int:
    """Run the evening. Returns the exit code."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Listener)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="celeriac-evening-") as folder:
        evening = Evening(Path(folder), f"http://127.0.0.1:{server.server_port}")
        try:
            spend(evening)
        except WrongError as wrong:
            say(str(wrong))
            return 1
        finally:
            with suppress(Exception):
                evening.types("make down")
            server.shutdown()
    for call in _Listener.calls:
        say(f"  WRONG the account of the shell was called: {call}")
    seconds = time.monotonic() - started
    say(f"A first evening in {seconds:.0f} s; calls to the account of the shell: {len(_Listener.calls)}")
    return 1 if _Listener.calls else 0


if __name__ == "__main__":
    sys.exit(main())
