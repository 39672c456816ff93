"""What workers use while they work: CPU seconds of processes, read from /proc, and calls that reach the emulator."""

import os
from collections.abc import Callable
from pathlib import Path

import urllib3

_TICKS = os.sysconf("SC_CLK_TCK")
CALLS = "/bench/calls"
"""versus/serve.py answers this path with the number of requests so far."""


def of_group(group: int) -> Callable[[int], bool]:
    """Whether a process is in the process group."""
    return lambda pid: os.getpgid(pid) == group


def of_function(name: str) -> Callable[[int], bool]:
    """Whether a process is the emulator's worker of a Lambda function."""
    variable = f"AWS_LAMBDA_FUNCTION_NAME={name}".encode()
    return lambda pid: variable in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")


def cpu_seconds(belongs: Callable[[int], bool]) -> float:
    """The CPU seconds that processes have used so far, their ended children included. 0 where there is no /proc."""
    total = 0
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if belongs(int(entry.name)):
                # https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html: fields 14 to 17, in ticks
                total += sum(map(int, (entry / "stat").read_text().rpartition(")")[2].split()[11:15]))
        except (OSError, ValueError):  # it has ended, or isn't ours
            continue
    return total / _TICKS


def calls(endpoint: str) -> int:
    """The number of requests to the emulator so far."""
    return int(urllib3.request("GET", endpoint + CALLS, timeout=5).data)
