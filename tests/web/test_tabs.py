"""Open tabs: what they ask of AWS as time passes, what that costs, and what they do while AWS throttles."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Lock
from typing import Any
from urllib.parse import quote

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from celeriac import Queue, task
from celeriac.declare import registry
from celeriac.testing import Sandbox
from celeriac_console.web.live.shared_read import LONGEST
from celeriac_console.web.live.stage import TICK
from tests.web.conftest import Page

wells = Queue("wells")
MINUTES = 3
"""So long the tabs are open. The outbox and CloudWatch take moto some time."""
# Dollars, in us-east-1 without the free tier: a call of SQS (attributes cost the same for FIFO queues), a metric of
# GetMetricData, another call of CloudWatch, a read request unit of DynamoDB. The others are free.
PRICES = {
    "sqs": 0.40e-6,
    "metric": 0.01e-3,
    "cloudwatch": 0.01e-3,
    "dynamodb": 0.125e-6,
    "lambda": 0,
    "cloudformation": 0,
}


@dataclass
class Bill:
    """Stands before AWS, which throttles if it is told to: what is called, and how many metrics are asked for."""

    throttled: frozenset[str] = frozenset()
    calls: Counter[str] = field(default_factory=Counter)
    """By service; the metrics beside the calls that ask for them."""
    lock: Lock = field(default_factory=Lock)

    def see(self, service: str, operation: str, arguments: Any) -> None:
        with self.lock:
            self.calls[service] += 1
            if operation == "GetMetricData":
                self.calls["metric"] += len(arguments["MetricDataQueries"])
                self.calls["of metrics"] += 1
        if service in self.throttled:
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "slower"}}, operation)

    @property
    def dollars(self) -> float:
        """What the calls cost. Those that ask for metrics are paid by the metric."""
        paid = Counter(self.calls)
        paid["cloudwatch"] -= paid.pop("of metrics", 0)
        return sum(PRICES[what] * number for what, number in paid.items())

    @property
    def total(self) -> int:
        """The calls."""
        return sum(number for what, number in self.calls.items() if what not in {"metric", "of metrics"})


@pytest.fixture
def bill(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bill]:
    """What the page calls from now on."""
    real, bill = BaseClient._make_api_call, Bill()  # type: ignore[attr-defined]

    def call(self: Any, operation: str, arguments: Any) -> Any:
        bill.see(self.meta.service_model.service_name, operation, arguments)
        return real(self, operation, arguments)

    with monkeypatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", call)
        yield bill


type Opened = Callable[[int], int]


@pytest.fixture
def opened_tabs(page: Page, sandbox: Sandbox, bill: Bill) -> Opened:
    """Let so many tabs ask each five seconds for some minutes. Returns the calls of that time."""

    def start(tabs: int) -> int:
        page.html("/")
        sandbox.advance(timedelta(hours=1))
        bill.calls.clear()
        for _ in range(int(timedelta(minutes=MINUTES) / TICK)):
            for _ in range(tabs):
                page.browser.get("/", headers={"hx-request": "true"})
            sandbox.advance(TICK)
        return bill.total

    return start


def test_three_tabs_cost_what_one_does_and_none_costs_nothing(opened_tabs: Opened) -> None:
    one = opened_tabs(1)
    assert one > 0
    assert opened_tabs(3) == one
    assert opened_tabs(0) == 0


def test_tabs_that_ask_at_different_times_cost_no_more_than_the_foot_says(
    page: Page, sandbox: Sandbox, bill: Bill
) -> None:
    page.html("/")
    bill.calls.clear()
    for _ in range(MINUTES * 60):
        sandbox.advance(timedelta(seconds=1))  # five tabs, a second apart
        page.browser.get("/", headers={"hx-request": "true"})
    assert bill.total * 60 / MINUTES <= page.shared.live.cost.calls * 1.02


def test_the_dollars_at_the_foot_are_those_of_awss_prices(
    page: Page, opened_tabs: Opened, bill: Bill, monkeypatch: pytest.MonkeyPatch
) -> None:
    queues = {name: Queue(name) for name in (f"tab-{number:02}" for number in range(30))}
    monkeypatch.setattr(registry, "queues", lambda: queues)
    opened_tabs(1)
    assert bill.calls["metric"] == MINUTES * (4 * 30 + 1)
    hour = bill.dollars * 60 / MINUTES
    cost = page.shared.live.cost
    assert 0.8 * cost.dollars < hour <= cost.dollars * 1.01  # the foot tells the most that it may be
    assert f"about ${cost.dollars:.2f} an hour" in page.html("/")


def test_while_aws_throttles_tabs_ask_less_and_then_as_before(page: Page, sandbox: Sandbox, bill: Bill) -> None:
    def asked(ticks: int) -> int:
        bill.calls.clear()
        for _ in range(ticks):
            sandbox.advance(TICK)
            text = page.html("/")
            assert ("slower" in text) == bool(bill.throttled)
            assert 'id="queue-' in text  # what was read before is still shown
        return bill.calls["sqs"]

    page.html("/")
    before = asked(60)
    bill.throttled = frozenset({"sqs"})
    page.shared.live.counts.get(fresh=True)  # so that the first of these screens tells of it
    throttled = asked(60)
    assert throttled < before / 8
    bill.throttled = frozenset()
    sandbox.advance(LONGEST)
    assert asked(60) == before


def test_a_screen_of_jobs_or_of_a_preview_costs_nothing_and_says_nothing_of_costs(page: Page, bill: Bill) -> None:
    assert "An open tab costs" in page.html("/")
    bill.calls.clear()
    assert "An open tab costs" not in page.html("/jobs")
    page.act("/outbox/preview", type="no.such", since="2h")
    page.shared.jobs.get("1").join(30)
    bill.calls.clear()
    assert "An open tab costs" not in page.html("/jobs/1")
    assert bill.total == 0


@task(wells)
def page_wells(number: int) -> None: ...


def test_three_tabs_of_one_task_ask_as_often_as_one_and_see_its_end(page: Page, sandbox: Sandbox, bill: Bill) -> None:
    handle = page_wells.enqueue(1)
    url = f"/status?ref={quote(handle.ref)}"
    assert "hx-get" in page.html(url)

    def asked(tabs: int) -> int:
        sandbox.advance(timedelta(minutes=2))
        bill.calls.clear()
        for _ in range(20):
            for _ in range(tabs):
                assert page.browser.get(url, headers={"hx-request": "true"}).status_code == 200
            sandbox.advance(TICK)
        return bill.total

    one = asked(1)
    assert 0 < one <= 20 * 4
    assert asked(3) == one
    sandbox.drain()
    sandbox.advance(TICK)
    ended = page.browser.get(url, headers={"hx-request": "true"}).text
    assert "succeeded" in ended
    assert "hx-get" not in ended


def test_who_opens_a_task_sees_it_as_it_is_now(page: Page, sandbox: Sandbox) -> None:
    handle = page_wells.enqueue(2)
    url = f"/status?ref={quote(handle.ref)}"
    assert page.json("/status", ref=handle.ref)["one"]["state"] == "queued"
    sandbox.run_once()  # no time passes
    assert "succeeded" in page.html(url)


def test_a_task_that_cannot_be_read_says_why_each_time(page: Page, sandbox: Sandbox, bill: Bill) -> None:
    handle = page_wells.enqueue(3)
    url = f"/status?ref={quote(handle.ref)}"
    page.html(url)
    bill.throttled = frozenset({"dynamodb"})
    for _ in range(3):
        sandbox.advance(TICK)
        assert "slower" in page.browser.get(url, headers={"hx-request": "true"}).text
    bill.throttled = frozenset()
    assert "slower" not in page.html(url)
