"""The activities of the graph. The key of each is its callback, so however often it is sent, it runs once."""

from celeriac import Reject, task
from shop_tasks.callbacks import succeed
from shop_tasks.queues import lookups, mail

SHELVES = {"cup": "B7", "jug": "C2"}
asked: list[tuple[str, str]] = []
"""Stands for the mails that were sent."""


@task(lookups, key="callback")
def find_shelf(article: str, callback: str) -> None:
    """Find where an article lies."""
    if article not in SHELVES:
        raise Reject("no such article")
    succeed(callback, SHELVES[article])


@task(lookups, key="callback")
def find_price(article: str, callback: str) -> None:
    """Find what it costs."""
    succeed(callback, price_of(article))


@task(mail, key="callback")
def ask_for_approval(article: str, shelf: str, cents: int, callback: str) -> None:
    """Write to somebody who decides. A link holds the callback; the page behind it calls `succeed`, days later."""
    asked.append((f"sell the {article} on shelf {shelf} for {cents} cents?", callback))


def price_of(article: str) -> int:
    """Stands for a service that sometimes doesn't answer."""
    return 100 * len(article)
