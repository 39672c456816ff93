"""Pages of a list of delayed tasks. Where a page ends is a text that the user types to get the next one."""

from dataclasses import dataclass

from celeriac.aws import schedules
from celeriac_console.delayed.filter import Filter
from celeriac_console.delayed.waiting import WORKERS, Waiting, look


@dataclass(frozen=True, slots=True)
class Listed:
    """Some delayed tasks."""

    tasks: list[Waiting]
    next: str | None
    """Where the list goes on; None at its end."""


def read(prefix: str, wanted: Filter, limit: int, start: str = "", *, most: int | None = None) -> Listed:
    """Up to `limit` tasks that match, in schedules whose names begin with `prefix`.

    start: `<name>/<token>`, the last name of a list before in the page of this token. A limit may end a list in the
    middle of a page. If the name is no longer there, because it has fired, the whole page is read again. most: the list
    ends after so many schedules were looked at, however few of them match.
    """
    last, _, token = start.partition("/")
    found: list[Waiting] = []
    looked = 0
    while True:
        page = schedules.page(prefix, token)
        names = page.names[page.names.index(last) + 1 :] if last in page.names else page.names
        # No more are looked at than may be shown.
        while some := names[: max(WORKERS, limit - len(found))]:
            names = names[len(some) :]
            for one in look(some):
                if wanted.matches(one):
                    found.append(one)
                if len(found) == limit:
                    is_last = one.name == page.names[-1]
                    return Listed(found, _start("", page.next) if is_last else _start(one.name, token))
            looked += len(some)
            if most is not None and looked >= most and (names or page.next is not None):
                return Listed(found, _start(some[-1], token) if names else _start("", page.next))
        if page.next is None:
            return Listed(found, None)
        token, last = page.next, ""


def _start(name: str, token: str | None) -> str | None:
    return f"{name}/{token or ''}" if name or token else None
