"""A walk over every screen of the page, with something to see on each: `test_walks_screens` and the pictures use it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from celeriac_console.web.shared import Shared
from celeriac_console.web.shown import address, part
from tests.browser.shop import Shop

NOT_A_SCREEN = ""
WINDOWS = [(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")]
"""Widths in pixels, and themes."""


@dataclass(frozen=True, slots=True)
class Visit:
    """The tab shows it now."""

    screen: str
    """The path of the screen in ROOMS; NOT_A_SCREEN for the page of an error."""
    name: str
    """Of its picture."""


def show(tab: Any, width: int, scheme: str) -> None:
    """Show what the tab shows in another window."""
    tab.set_viewport_size({"width": width, "height": 800})
    tab.emulate_media(color_scheme=scheme)


def visits(tab: Any, shop: Shop) -> Iterator[Visit]:
    """Lead the tab from screen to screen, as an operator who acts on some."""
    shop.shared = tab.served.shared
    walk = _Walk(tab, tab.served.origin, tab.served.shared)
    yield from _letters(walk)
    yield from _jobs(walk)
    yield from _tasks(walk, shop)
    yield from _operations(walk, shop)


@dataclass(frozen=True, slots=True)
class _Walk:
    tab: Any
    at: str
    shared: Shared

    def goes(self, screen: str, name: str, url: str) -> Visit:
        self.tab.goto(self.at + url)
        return Visit(screen, name)

    def presses(self, button: str | re.Pattern[str]) -> None:
        with self.tab.expect_navigation():
            self.tab.get_by_role("button", name=button, exact=True).click()


def _letters(walk: _Walk) -> Iterator[Visit]:
    yield walk.goes("/", "overview", "/")
    yield walk.goes("/", "overview-nothing-found", "/?find=nothing")
    yield walk.goes("/queues/{queue}", "queue", "/queues/payments")
    yield walk.goes("/queues/{queue}", "queue-well", "/queues/mails")
    yield walk.goes("/dead-letters", "dead-letters", "/dead-letters")
    yield walk.goes("/dead-letters", "dead-letters-nothing-found", "/dead-letters?task=nothing")
    yield walk.goes("/dead-letters/{queue}", "dead-letters-of-queue", "/dead-letters/payments")
    yield walk.goes("/dead-letters/{queue}", "dead-letters-none", "/dead-letters/mails")
    walk.tab.goto(f"{walk.at}/dead-letters/payments?task=charge")
    group = walk.tab.locator("table.rows a").first.get_attribute("href")
    yield walk.goes("/dead-letters/{queue}", "group", group)
    letter = walk.tab.locator("table.rows a[href*='/letter/']").first.get_attribute("href")
    yield walk.goes("/dead-letters/{queue}/letter/{id}", "letter", letter)
    yield walk.goes("/dead-letters/{queue}/letter/{id}", "letter-arguments", f"{letter}?arguments=show")
    walk.tab.get_by_label("cents").fill("a lot")
    walk.presses("Redrive with these arguments")
    yield Visit("/dead-letters/{queue}/letter/{id}", "letter-refused")
    yield walk.goes("/dead-letters/{queue}/discard", "discard", "/dead-letters/payments/discard?task=refund")
    yield walk.goes("/dead-letters/{queue}/redrive", "redrive", "/dead-letters/payments/redrive")


def _jobs(walk: _Walk) -> Iterator[Visit]:
    yield walk.goes("/jobs", "jobs-none", "/jobs")
    walk.tab.goto(f"{walk.at}/dead-letters/payments/redrive")
    walk.presses("Start the redrive")
    assert walk.shared.jobs.get("1").wait_for(frozenset({"paused"}), 30)
    yield walk.goes("/jobs/{number}", "job-paused", "/jobs/1")
    walk.tab.goto(f"{walk.at}/dead-letters/invoices/discard")
    walk.tab.get_by_label("They will be gone for good").check()
    walk.presses(re.compile(r"Discard \d+ letters?"))
    walk.shared.jobs.get("2").join(30)
    yield walk.goes("/jobs/{number}", "job-ended", "/jobs/2")
    yield walk.goes("/jobs", "jobs", "/jobs")
    yield walk.goes("/dead-letters", "dead-letters-job", "/dead-letters")


def _tasks(walk: _Walk, shop: Shop) -> Iterator[Visit]:
    yield walk.goes("/tasks", "tasks", "/tasks")
    yield walk.goes("/tasks", "tasks-nothing-found", "/tasks?find=nothing")
    yield walk.goes("/tasks/{name:path}", "task", "/tasks/charge")
    yield walk.goes("/runs/{name:path}", "runs", "/runs/charge")
    yield walk.goes("/runs/{name:path}", "runs-nothing-found", "/runs/charge?state=cancelled")
    yield walk.goes("/status", "find", "/status")
    yield walk.goes("/status", "find-nothing-found", "/status?ref=nothing")
    yield walk.goes("/status", "status-dead", address("/status", ref=shop.dead))
    yield walk.goes("/status", "status-succeeded", address("/status", ref=shop.succeeded))
    yield walk.goes("/status", "status-delayed", address("/status", ref=shop.delayed))
    yield walk.goes("/status/{ref:path}", "status-by-path", f"/status/{part(shop.dead)}")
    yield walk.goes("/run-again", "run-again", "/run-again?task=charge&of=o-4099")
    yield walk.goes("/schedules", "schedules", "/schedules")
    yield walk.goes("/delayed/choose", "choose", "/delayed/choose?do=cancel&task=send_mail")


def _limits(walk: _Walk) -> Iterator[Visit]:
    yield walk.goes("/limits", "limits", "/limits")
    yield walk.goes("/limits/{name}", "limit-open", "/limits/bank")
    yield walk.goes("/limits/{name}", "limit-line", "/limits/mail-provider")
    yield walk.goes("/limits/{name}", "limit-places", "/limits/accountants")
    yield walk.goes("/limits/{name}", "limit-of-many", "/limits/of-customer")
    yield walk.goes("/limits/{name}", "limit-looked-up", "/limits/of-customer?by.customer=c-7")
    walk.tab.goto(f"{walk.at}/limits/mail-provider")
    walk.tab.get_by_label("At most").fill("2/s")
    walk.presses("Preview")
    yield Visit("/limits/{name}/change", "limit-change")
    walk.presses("Set mail-provider")
    yield Visit("/limits/{name}", "limit-set")
    walk.tab.goto(f"{walk.at}/limits/bank/change?do=close")
    walk.presses("Close bank")


def _batches(walk: _Walk, shop: Shop) -> Iterator[Visit]:
    yield walk.goes("/batches", "batches", "/batches")
    yield walk.goes("/batches", "batches-nothing-found", "/batches?late=yes")
    yield walk.goes("/batches/one", "batch-dead", address("/batches/one", id=shop.batch))
    other = address("/batches/one", id="search#publish_catalogue:catalogue-2026-11")
    yield walk.goes("/batches/one", "batch-open", other)
    walk.presses("Give it up")
    yield Visit("/batches/one", "batch-given-up")


def _operations(walk: _Walk, shop: Shop) -> Iterator[Visit]:
    yield walk.goes("/outbox", "outbox", "/outbox")
    yield walk.goes("/quarantine", "quarantine-none", "/quarantine?task=refund")
    walk.presses("Put in quarantine")
    yield Visit("/quarantine", "quarantine")
    yield from _limits(walk)
    yield from _batches(walk, shop)
    walk.tab.goto(f"{walk.at}/outbox")
    walk.tab.get_by_label("Type, or a pattern").fill("order.*")
    walk.presses("Preview")
    walk.shared.jobs.all()[0].join(30)
    walk.tab.reload()
    yield Visit("/jobs/{number}", "replay-preview")
    walk.presses("Replay 1 event")
    walk.shared.jobs.all()[0].join(30)
    walk.tab.reload()
    yield Visit("/jobs/{number}", "replay")
    yield walk.goes("/activity", "activity", "/activity")
    yield walk.goes(NOT_A_SCREEN, "error-404", "/nowhere")
    yield walk.goes(NOT_A_SCREEN, "error-400", "/dead-letters?since=yesterday")
    walk.tab.context.clear_cookies()
    yield walk.goes(NOT_A_SCREEN, "refused", "/")
