"""Serve the page on this machine until Ctrl-C."""

import socket
import webbrowser
from urllib.parse import urlencode

import uvicorn

from celeriac_console.application.loading import load
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.screen import say
from celeriac_console.web.app import application
from celeriac_console.web.guard.entry import LocalEntry
from celeriac_console.web.identity import identify
from celeriac_console.web.on_this_machine import ENTER, OnThisMachine
from celeriac_console.web.shared import Shared

ADDRESS = "127.0.0.1"
PORT = 4600
"""The first port that is tried."""
TRIED = 20


def serve(port: int | None, *, read_only: bool, show_arguments: bool, opens: bool) -> None:
    """Print the link, open it in a browser if wanted, and serve until Ctrl-C.

    port: None for the first free one from `PORT`. Raises UserError if it is taken.
    """
    load()
    shared = Shared(identify())
    listening = listen(port)
    number = listening.getsockname()[1]
    entry = LocalEntry(number, show_arguments)
    app = application(shared, OnThisMachine(entry, shared.identity.who, may_act=not read_only))
    url = f"http://{ADDRESS}:{number}{ENTER}?{urlencode({'token': entry.token})}"
    say(f"The stage {shared.identity.stage} of {shared.identity.application}, as {shared.identity.who}")
    say(f"Open {url}")
    say("The link works once. Ctrl-C ends the page.")
    if opens:
        webbrowser.open(url)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off"))
    try:
        server.run(sockets=[listening])
    finally:
        shared.jobs.close()


def listen(port: int | None) -> socket.socket:
    """A socket on this port of this machine, or on the first free one from `PORT`. Raises UserError if it is taken."""
    for number in (port,) if port is not None else range(PORT, PORT + TRIED):
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((ADDRESS, number))
        except OSError as error:
            listening.close()
            if port is not None:
                raise UserError(f"port {port} can't be used: {error.strerror}. Choose another with --port") from error
        else:
            return listening
    raise UserError(f"the ports from {PORT} to {PORT + TRIED - 1} are taken: choose another with --port")
