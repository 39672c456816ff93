"""Requests that no page of this machine sends: to another host's name, from another site, without the form's token."""

from urllib.parse import urlsplit

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


def is_loopback(host: str, port: int) -> bool:
    """Whether a `Host` header names this machine and the page's port.

    A page of another site may have its own name resolve to 127.0.0.1: then the browser sends that name.
    """
    name, _, number = host.rpartition(":")
    return name in LOOPBACK and number == str(port)


def is_same_origin(host: str, origin: str | None, fetch_site: str | None) -> bool:
    """Whether a POST comes from the page itself, as its `Origin` and `Sec-Fetch-Site` headers say.

    Each browser of today sends an `Origin` with a POST. So one without is no browser's.
    """
    if fetch_site is not None and fetch_site != "same-origin":
        return False
    try:
        return origin is not None and urlsplit(origin).netloc == host
    except ValueError:  # an address with half a bracket
        return False
