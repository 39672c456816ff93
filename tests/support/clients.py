"""The clients of a service that a process may make: a worker whose time is short has others than a producer."""

from collections.abc import Iterator
from typing import Any

from celeriac.aws import client as clients


def every_client(service: Any) -> Iterator[Any]:
    """Each of the clients, made now if it wasn't before. A sandbox has its own."""
    return (clients._client(service, patience) for patience in clients.PATIENCE)
