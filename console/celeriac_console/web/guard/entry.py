"""How a browser on this machine comes in: by the printed link once, then by a cookie."""

import secrets
import time
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie

from celeriac_console.web.guard.operator import Session

SESSION_SECONDS = 12 * 3600
"""A working day. After it, the page is started again."""


@dataclass(slots=True)
class LocalEntry:
    """The one-time token of the printed link, and the sessions that it has opened. They end with the process."""

    port: int
    shows_arguments: bool = False
    """Whether each session shows arguments of tasks from its start."""
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    _used: bool = False
    _sessions: dict[str, tuple[float, Session]] = field(default_factory=dict)

    @property
    def cookie(self) -> str:
        """The cookie's name. Cookies are shared by all ports of a host, and a second page may run beside this one."""
        return f"celeriac-{self.port}"

    def enter(self, token: str) -> str | None:
        """The `Set-Cookie` header for who has the token; None for a wrong one, and for one that was used before."""
        if self._used or not secrets.compare_digest(token.encode(), self.token.encode()):
            return None
        self._used = True
        id_ = secrets.token_urlsafe(24)
        self._sessions[id_] = (time.monotonic() + SESSION_SECONDS, Session(shows_arguments=self.shows_arguments))
        return f"{self.cookie}={id_}; HttpOnly; SameSite=Strict; Path=/; Max-Age={SESSION_SECONDS}"

    def session(self, cookies: str) -> Session | None:
        """The session that a `Cookie` header names; None if there is none, or if it has ended."""
        try:
            sent = SimpleCookie(cookies).get(self.cookie)
        except CookieError:
            return None
        ends, session = self._sessions.get(sent.value, (0.0, None)) if sent is not None else (0.0, None)
        return session if time.monotonic() < ends else None
