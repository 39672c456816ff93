"""Serve the page behind a load balancer: `python -m celeriac_console.web.deployed ADDRESS PORT`.

The environment says which application and stage, as for a function, and who is let in. The folder it starts in holds
the tasks.
"""

import socket
import sys

import uvicorn

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


def serve(address: str, port: int) -> None:
    """Serve until the process is told to end. Jobs are stopped then, and write how far they came."""
    load()
    found = behind()
    shared = Shared(identify(found))
    app = application(shared, BehindLoadBalancer(found, Keys(found.region)))
    listening = socket.create_server((address, port))
    say(f"The page {found.domain} listens on port {listening.getsockname()[1]}.")
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
        shared.jobs.close()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
