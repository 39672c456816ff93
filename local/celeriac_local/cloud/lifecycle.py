"""Start and stop the local cloud: MiniStack, and the samples' payment provider, on 127.0.0.1 only."""

import fcntl
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

from celeriac.model.fargate import LOCAL_STOP_TIMEOUT
from celeriac_local import folders, install
from celeriac_local.cloud import environment, state
from celeriac_local.cloud.processes import Process, is_running, listener, spawn, stop
from celeriac_local.cloud.state import Cloud
from celeriac_local.errors import UserError
from celeriac_local.folders import EMULATOR, log, shown

READY_SECONDS = 20.0
SECONDS, WORKER_SECONDS = 3.0, LOCAL_STOP_TIMEOUT.total_seconds() + 2
"""How long a process may take to end by itself."""
DEFAULT_PORT = 4566
"""The default port of tools for AWS emulators."""


def running() -> Cloud | None:
    """The running cloud, or None."""
    cloud = state.load()
    return cloud if cloud and cloud.is_whole else None


def require() -> Cloud:
    """The running cloud with a deployment on it. Raises UserError, with the command to type, if there is none."""
    cloud = running()
    if cloud is None:
        raise UserError("The local cloud isn't up. Start it: celeriac local up")
    if cloud.deployed is None:
        raise UserError("The local cloud is up, but nothing is deployed to it yet. Deploy: celeriac local up")
    return cloud


def start(port: int | None = None, say: install.Say = lambda _: None) -> Cloud:
    """Start a cloud on `port`, or on the first free port. The remains of a crashed cloud are removed first.

    Raises UserError if `port` is in use or a process doesn't start. No process is left running then.
    say: called with a line before the emulator is installed.
    """
    down()
    if port is not None:
        _check_free(port)
    python = install.emulator(say)
    with _alone():
        if port is None:
            port = _first_free(DEFAULT_PORT)
        else:
            _check_free(port)
        folders.made_state()
        for folder in (folders.temporary(), folders.home()):
            folder.mkdir(exist_ok=True)
        return _start(port, python)


def _start(port: int, python: Path) -> Cloud:
    emulator = spawn(
        [python, EMULATOR],
        env=environment.of_emulator(port, os.environ),
        folder=folders.temporary(),
        log=log("emulator"),
    )
    cloud = Cloud(port=port, emulator=emulator)
    state.save(cloud)  # saved before anything can fail, so that `down` finds the process
    try:
        if folders.has_samples():
            cloud = _with_provider(cloud)
        _wait(lambda: _answers(f"{cloud.url}/_ministack/ready"), emulator, "emulator", "The emulator")
        if cloud.provider is not None:
            _wait(lambda: _answers(f"{cloud.provider_url}/charges"), cloud.provider, "provider", "The payment provider")
    except BaseException:
        down()
        raise
    return cloud


def _with_provider(cloud: Cloud) -> Cloud:
    """The cloud with the server that the sample tasks call."""
    port = _first_free(cloud.port + 1)
    provider = spawn(
        [sys.executable, "-m", "celeriac_local.provider.server", "--port", str(port)],
        env=environment.of_provider(os.environ),
        folder=folders.root(),
        log=log("provider"),
    )
    found = replace(cloud, provider_port=port, provider=provider)
    state.save(found)
    return found


def down() -> bool:
    """Stop the processes that `start` started, and no others. Returns whether a process was running.

    Raises UserError if a process is still running after it was killed.
    """
    cloud = state.load()
    if cloud is None:
        shutil.rmtree(folders.temporary(), ignore_errors=True)
        return False
    was_there = any(is_running(process) for process in cloud.processes)
    for process in cloud.processes:
        # The command lines of MiniStack's functions contain the path of the temporary folder.
        # A worker gives back what it has received.
        grace = WORKER_SECONDS if process in cloud.workers else SECONDS
        if not stop(process, marker=str(folders.temporary()), grace_seconds=grace):
            raise UserError(
                f"Process {process.pid} or one of its children can't be stopped. Look: ps -eo pid,pgid,stat,command"
            )
    state.forget()
    shutil.rmtree(folders.temporary(), ignore_errors=True)
    return was_there


def _check_free(port: int) -> None:
    if not _is_free(port):
        raise UserError(
            f"Port {port} of 127.0.0.1 is taken by {holder(port)}. Stop it, or use another port: "
            f"celeriac local up --port {port + 100}"
        )


def holder(port: int) -> str:
    """The process that listens on `port`, as text. If the system doesn't show the process, a command that finds it."""
    return listener(port) or f"another process (find it: lsof -nP -iTCP:{port} -sTCP:LISTEN)"


def _first_free(port: int) -> int:
    """The first free port from `port` on."""
    while not _is_free(port):
        port += 1
    return port


def reset(*, everything: bool = False) -> list[str]:
    """Stop the cloud, and remove its data: what is deployed to it, messages, logs. Returns the names of what is gone.

    everything: also what was installed and built, which the next start makes again.
    """
    down()
    kept = set() if everything else {folders.emulator_environment().name, folders.cdk_folder().name, "bundles"}
    # A worktree that `make deliver` has made is git's, and a lock may be held.
    kept |= {".gitignore", "earlier", *(each.name for each in folders.state().glob("*.lock"))}
    gone = sorted(each for each in folders.state().glob("*") if each.name not in kept)
    for each in gone:
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink(missing_ok=True)
    return [each.name for each in gone]


@contextmanager
def _alone() -> Iterator[None]:
    """Let only one project at a time choose free ports, and hold the lock until these ports are in use."""
    with (Path(tempfile.gettempdir()) / f"celeriac-ports-{os.getuid()}").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def _answers(url: str) -> bool:
    import urllib3  # noqa: PLC0415 - only a start needs it, and celeriac_local.console_environment must be fast

    try:
        return urllib3.request("GET", url, timeout=1, retries=False).status == HTTPStatus.OK
    except urllib3.exceptions.HTTPError:
        return False


def _wait(is_ready: Callable[[], bool], process: Process, name: str, title: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not is_ready():
        if not is_running(process):
            fate = "stopped as soon as it was started"
        elif time.monotonic() > deadline:
            fate = f"didn't answer within {READY_SECONDS:.0f} seconds"
        else:
            time.sleep(0.05)
            continue
        last = log(name).read_text(errors="replace").splitlines()[-5:]
        msg = "\n".join([f"{title} {fate}. The last lines of {shown(log(name))}:", *(f"  {line}" for line in last)])
        raise UserError(msg)
