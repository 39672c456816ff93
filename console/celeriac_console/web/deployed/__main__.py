"""Serve the page behind a load balancer: `python -m celeriac_console.web.deployed ADDRESS PORT`.

The environment says which application and stage, as for a function, and who is let in. The folder it starts in holds
the tasks.
"""

import signal
import socket
import sys

import uvicorn
from starlette.applications import Starlette

from celeriac.model import settings
from celeriac_console.application.loading import load
from celeriac_console.stage.clients import client
from celeriac_console.terminal.screen import say
from celeriac_console.web.app import application
from celeriac_console.web.deployed.behind import Behind, behind
from celeriac_console.web.deployed.behind_load_balancer import BehindLoadBalancer
from celeriac_console.web.deployed.keys import Keys
from celeriac_console.web.identity import Identity
from celeriac_console.web.shared import Shared


def identify(found: Behind) -> Identity:
    """Whose rights the page has. Raises AWS's errors."""
    sts = client("sts")
    caller = sts.get_caller_identity()
    return Identity(
        settings.application(), settings.stage(), caller["Account"], sts.meta.region_name, caller["Arn"], found.keeps
    )


GIVES_BACK = 90.0
"""Seconds in which jobs give back what they hold. ECS kills the process after 120, and 10 are for requests."""


def serve(address: str, port: int) -> None:
    """Serve until the process is told to end."""
    signal.signal(signal.SIGTERM, _leave)
    load()
    found = behind()
    shared = Shared(identify(found))
    app = application(shared, BehindLoadBalancer(found, Keys(found.region)))
    listening = socket.create_server((address, port))
    say(f"The page {found.domain} listens on port {listening.getsockname()[1]}.")
    run(app, listening, shared)


def run(app: Starlette, listening: socket.socket, shared: Shared) -> None:
    """Serve until the process is told to end. Jobs are stopped then, and write how far they came."""
    signal.signal(signal.SIGTERM, _leave)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            lifespan="off",
            server_header=False,
            # The load balancer says `https` in X-Forwarded-Proto; nothing here asks.
            proxy_headers=False,
            # Longer than the 60 seconds of the load balancer, which else sends a request where nobody listens anymore.
            timeout_keep_alive=75,
            timeout_graceful_shutdown=10,
        )
    )
    try:
        server.run(sockets=[listening])
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        shared.jobs.close(GIVES_BACK)


def _leave(_signal: int, _frame: object) -> None:
    """End the process as at its own end. Uvicorn sends SIGTERM again once it has stopped; by default that kills."""
    sys.exit(0)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
