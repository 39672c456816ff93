"""A server in a process of its own, on a free port of this machine. It is stopped by its process id."""

import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

LONGEST_START_SECONDS = 60.0
LONGEST_STOP_SECONDS = 10.0


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def served(
    command: Callable[[int], Sequence[str]], *, folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Run `command(port)` in `folder` while the block runs. Yields the URL, once the server answers there.

    environment: all of the server's variables; without it, those of this process.
    Raises RuntimeError with the server's output if it ends or doesn't answer.
    """
    port = free_port()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command(port), cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            if not _answers(process, port):
                output.seek(0)
                raise RuntimeError(f"{command(port)} doesn't answer: {output.read()}")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(LONGEST_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    gives_up_at = time.monotonic() + LONGEST_START_SECONDS
    while process.poll() is None and time.monotonic() < gives_up_at:
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/")
            connection.getresponse()
        except (OSError, HTTPException):
            time.sleep(0.1)
        else:
            return True
        finally:
            connection.close()
    return False
