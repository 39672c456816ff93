"""For benchmarks over stubbed HTTP: an environment without AWS settings, and a standard output for figures only.

Import this module before any AWS library: a logger keeps the standard output that it finds when it is made.
"""

import io
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

os.environ |= {
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "POWERTOOLS_SERVICE_NAME": "benchmark",
    "CELERIAC_APPLICATION": "celeriac",
    "CELERIAC_STAGE": "bench",
}
for name in [name for name in os.environ if name.startswith("AWS_ENDPOINT") or name == "AWS_PROFILE"]:
    del os.environ[name]


class _Counting(io.TextIOBase):
    """Drops the log and counts its bytes."""

    def __init__(self) -> None:
        self.bytes = 0

    def write(self, text: str) -> int:
        self.bytes += len(text.encode())
        return len(text)


logged = _Counting()
_report, sys.stdout = sys.stdout, logged


def say(text: str) -> None:
    """Print a figure."""
    print(text, file=_report, flush=True)


class _Body(io.BytesIO):
    def stream(self, **_: object) -> Any:
        yield self.read()


def answer(request: Any, content: Mapping[str, Any]) -> Any:
    """An answer to a request without AWS, as a handler of botocore's `before-send` returns it."""
    from botocore.awsrequest import AWSResponse  # noqa: PLC0415 - the environment must be set first

    headers: Any = {"Content-Type": "application/x-amz-json-1.0"}
    return AWSResponse(request.url, 200, headers, _Body(json.dumps(content).encode()))
