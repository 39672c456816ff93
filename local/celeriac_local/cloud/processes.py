"""Background processes that outlive the command that started them. Stopping them never hits an unrelated process.

A process is identified by its id and its start time, because the system reuses ids. Each process leads a process group:
MiniStack's functions are child processes that outlive it, and they are found by the group.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """A process, which leads a process group."""

    pid: int
    started: str
    """The start time as the system shows it. On Linux it includes the boot id, so that it is unique across reboots."""


@dataclass(frozen=True, slots=True)
class _Row:
    pid: int
    group: int
    started: str
    command: str


def spawn(command: Sequence[str | Path], *, env: Mapping[str, str], folder: Path, log: Path) -> Process:
    """Start a process that outlives this one. Its output goes to `log`."""
    with log.open("wb") as output:
        child = subprocess.Popen(  # noqa: S603 - a fixed command
            [str(word) for word in command],
            env=dict(env),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    child.returncode = 0  # The process shall outlive this one. Without this line, Python warns of a leak.
    # A process that died at once is still there as a zombie, so it has a start time. "gone" never matches any process.
    return Process(child.pid, _start_time(child.pid) or "gone")


def is_running(process: Process) -> bool:
    """Whether exactly this process is running, and not another process with the same id."""
    return any(row.pid == process.pid and row.started == process.started for row in _table())


def stop(process: Process, *, marker: str, grace_seconds: float = 3.0) -> bool:
    """Stop the process and its whole group. Returns whether all of these processes are gone.

    The process gets SIGTERM first, and SIGKILL after `grace_seconds`. The rest of its group is killed. If the process
    was gone already, only members of the group whose command line contains `marker` are killed.
    """
    if is_running(process):
        _signal(process.pid, signal.SIGTERM)
        _wait_until(lambda: not is_running(process), grace_seconds)
        ours = _group(process.pid)
    else:
        ours = [row for row in _group(process.pid) if marker in row.command]
    for row in ours:
        _signal(row.pid, signal.SIGKILL)
    mine = {(row.pid, row.started) for row in ours}
    return _wait_until(lambda: not any((row.pid, row.started) in mine for row in _table()), grace_seconds)


def listener(port: int) -> str | None:
    """The process that listens on a TCP port, as `process 123 (command)`; None if the system doesn't show it."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        rows = [line.split() for line in lines]
        inodes |= {f"socket:[{row[9]}]" for row in rows if row[3] == "0A" and int(row[1].split(":")[1], 16) == port}
    for row in _table() if inodes else ():
        if inodes & _open_files(row.pid):
            return f"process {row.pid} ({row.command[:100].strip()})"
    return None


def _open_files(pid: int) -> set[str]:
    """The targets of a process's file descriptors, on Linux. Empty for a process of another user."""
    found = set()
    with suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):  # the file was closed meanwhile
                found.add(str(entry.readlink()))
    return found


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _start_time(pid: int) -> str | None:
    return next((row.started for row in _table(zombies=True) if row.pid == pid), None)


def _group(group: int) -> list[_Row]:
    return [row for row in _table() if row.group == group]


def _table(*, zombies: bool = False) -> Iterator[_Row]:
    """Every process of the machine. By default zombies are left out, because they hold no resources."""
    return _from_proc(zombies=zombies) if sys.platform == "linux" else _from_ps(zombies=zombies)


def _from_proc(*, zombies: bool) -> Iterator[_Row]:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html; the name in parentheses may contain anything.
            fields = (entry / "stat").read_text().rpartition(") ")[2].split()
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if zombies or fields[0] != "Z":
            yield _Row(int(entry.name), int(fields[2]), f"{boot} {fields[19]}", command)


def _from_ps(*, zombies: bool) -> Iterator[_Row]:
    columns = re.compile(r"\s*(\d+)\s+(\d+)\s+(\S+)\s+(\w+ \w+ +\d+ [\d:]+ \d+)\s+(.*)")
    # -ww: without it ps cuts lines at the width of a terminal, even if there is no terminal.
    command = ["ps", "-axww", "-o", "pid=,pgid=,stat=,lstart=,command="]
    environment = {**os.environ, "LC_ALL": "C"}
    listing = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)  # noqa: S603 - fixed
    for line in listing.stdout.splitlines():
        found = columns.match(line)
        if found and (zombies or not found[3].startswith("Z")):
            yield _Row(int(found[1]), int(found[2]), found[4], found[5])
