"""What screens read of the stage: once for all tabs, part by part, and at a price that stands at the foot."""

import gzip
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError, SSOTokenLoadError

from celeriac import Queue
from celeriac.aws.client import client
from celeriac.declare import registry
from celeriac.model import names
from celeriac.testing import Sandbox
from celeriac_console.explain import LOG_IN
from celeriac_console.web.live.shared_read import AFTER_DENIAL, LONGEST, SharedRead
from celeriac_console.web.live.stage import TICK
from tests.conftest import STAGE
from tests.web.conftest import Page

MANY = 100


def _refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "DescribeAlarms")


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> dict[str, Queue]:
    """A stage of a hundred queues."""
    queues = {name: Queue(name) for name in (f"queue-{number:03}" for number in range(MANY))}
    monkeypatch.setattr(registry, "queues", lambda: queues)
    return queues


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let AWS refuse all calls of some services."""
    real = BaseClient._make_api_call  # type: ignore[attr-defined]

    def start(error: Exception | None, *services: str) -> None:
        def call(self: Any, operation: str, arguments: Any) -> Any:
            if error is not None and (not services or self.meta.service_model.service_name in services):
                raise error
            return real(self, operation, arguments)

        monkeypatch.setattr(BaseClient, "_make_api_call", call)

    return start


def test_nothing_is_read_while_nobody_asks_and_once_while_many_do(sandbox: Sandbox) -> None:
    reads: list[int] = []
    barrier = Barrier(8)

    def read() -> int:
        reads.append(1)
        return len(reads)

    shared = SharedRead(read, TICK, 0)

    def ask() -> int:
        barrier.wait()
        return shared.get().value

    sandbox.advance(timedelta(hours=1))
    assert reads == []
    with ThreadPoolExecutor(8) as pool:
        assert [each.result() for each in [pool.submit(ask) for _ in range(8)]] == [1] * 8
    assert shared.get(fresh=True).value == 2
    sandbox.advance(TICK)
    assert shared.get().value == 3


@pytest.mark.parametrize(("code", "longest"), [("ThrottlingException", LONGEST), ("AccessDenied", AFTER_DENIAL)])
def test_what_aws_refuses_is_asked_for_less_often(sandbox: Sandbox, code: str, longest: timedelta) -> None:
    errors: list[Exception | None] = [None]
    reads: list[int] = []

    def read() -> int:
        reads.append(1)
        if errors[0] is not None:
            raise errors[0]
        return len(reads)

    shared = SharedRead(read, TICK, 0)
    shared.get()
    errors[0] = _refused(code)
    for _ in range(720):
        sandbox.advance(TICK)
        assert shared.get().value == 1
    assert len(reads) < 2 + timedelta(hours=1) / longest + 10
    assert shared.get().problem
    errors[0] = None
    sandbox.advance(longest)
    assert shared.get().problem == ""
    before = len(reads)
    sandbox.advance(TICK)
    shared.get()
    assert len(reads) == before + 1


def test_a_first_read_that_fails_is_not_made_again_by_each_tab(sandbox: Sandbox) -> None:
    reads: list[int] = []

    def read() -> int:
        reads.append(1)
        raise _refused("Throttling")

    shared = SharedRead(read, TICK, 7)
    assert [(shared.get().value, shared.get().at) for _ in range(5)] == [(7, None)] * 5
    assert len(reads) == 1


def test_an_error_of_our_own_is_raised(sandbox: Sandbox) -> None:
    def read() -> int:
        raise KeyError("a mistake")

    with pytest.raises(KeyError):
        SharedRead(read, TICK, 0).get()


@pytest.mark.parametrize("service", ["cloudwatch", "lambda", "dynamodb", "cloudformation"])
def test_a_part_that_may_not_be_read_leaves_the_rest(page: Page, refuse: Callable[..., None], service: str) -> None:
    refuse(_refused("AccessDenied"), service)
    text = page.html("/")
    assert "Can&#39;t be read now" in text or "Can't be read now" in text
    assert "you may not perform" in text.lower()
    assert 'id="queue-' in text
    data = page.json("/")
    assert len(data["unseen"]) == 1
    assert all(row["counts"] is not None for row in data["rows"])


def test_a_table_and_a_queue_that_are_missing_leave_the_rest(page: Page) -> None:
    client("dynamodb").delete_table(TableName=names.outbox_table(STAGE))
    gone = next(iter(registry.queues().values()))
    client("sqs").delete_queue(QueueUrl=client("sqs").get_queue_url(QueueName=gone.physical_name(STAGE))["QueueUrl"])
    data = page.json("/")
    assert data["outbox"] is None
    assert list(data["unseen"].values()) == [["outbox"]]
    assert len(data["rows"]) == len(registry.queues())


@pytest.mark.parametrize("error", [_refused("ExpiredToken"), SSOTokenLoadError(error_msg="expired")])
def test_an_expired_session_says_how_to_renew_it_and_recovers(
    page: Page, refuse: Callable[..., None], sandbox: Sandbox, error: Exception
) -> None:
    refuse(error)
    queue = next(iter(registry.queues()))
    for url in ("/", f"/queues/{queue}", "/outbox", "/quarantine", "/activity"):
        answer = page.browser.get(url)
        assert answer.status_code == 502, url
        assert "aws sso login" in answer.text
    live = page.browser.get("/").text
    assert "hx-get" in live  # an open tab goes on asking
    refuse(None)
    sandbox.advance(TICK * 4)
    for url in ("/", f"/queues/{queue}", "/outbox", "/quarantine", "/activity"):
        assert page.browser.get(url).status_code == 200, url


def test_a_session_that_expires_meanwhile_shows_what_was_read(
    page: Page, refuse: Callable[..., None], sandbox: Sandbox
) -> None:
    page.html("/")
    refuse(_refused("ExpiredToken"))
    sandbox.advance(timedelta(minutes=2))
    assert LOG_IN[1:40] in page.html("/")


@pytest.mark.parametrize("seconds", [5.0, 2.5])
def test_an_hour_costs_no_more_than_the_foot_says(
    page: Page, many: dict[str, Queue], sandbox: Sandbox, seconds: float
) -> None:
    page.html("/")  # URLs of queues are asked for once
    sandbox.calls.clear()
    # A twentieth of an hour, because moto takes time. Two tabs ask every 2.5 s.
    for _ in range(int(180 / seconds)):
        sandbox.advance(timedelta(seconds=seconds))
        page.shared.live.now()
    cost = page.shared.live.cost
    made = sum(sandbox.calls.values()) * 20
    assert 0.8 * cost.calls < made <= cost.calls * 1.02, sandbox.calls
    assert 0.1 < cost.dollars < 1


def test_the_calls_of_the_overview_do_not_grow_with_tabs(page: Page, many: dict[str, Queue], sandbox: Sandbox) -> None:
    page.html("/")
    sandbox.calls.clear()
    sandbox.advance(timedelta(minutes=2))
    for _ in range(5):
        page.html("/")
    assert sandbox.calls == {
        ("sqs", "GetQueueAttributes"): 2 * MANY,
        ("lambda", "ListEventSourceMappings"): 1,
        ("cloudwatch", "DescribeAlarms"): 1,
        ("cloudwatch", "GetMetricData"): 1,
        ("dynamodb", "Query"): 9,
        ("dynamodb", "GetItem"): 1,
        ("cloudformation", "DescribeStacks"): 2,
    }


def test_the_overview_of_a_hundred_queues_weighs_little(page: Page, many: dict[str, Queue]) -> None:
    begun = time.perf_counter()
    page.html("/")
    first = time.perf_counter()
    text = page.html("/")
    print(f"first {first - begun:.3f} s, again {time.perf_counter() - first:.3f} s")  # noqa: T201 - for a report
    files = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', text))
    assert len(files) > 5
    whole = gzip.compress(text.encode(), 5)
    for each in files:
        answer = page.browser.get(each)
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        whole += gzip.compress(answer.content, 5)
    print(f"{len(whole)} bytes, of them the page {len(gzip.compress(text.encode(), 5))}")  # noqa: T201
    assert len(whole) < 150_000
    assert page.browser.get("/static/page.css").headers["cache-control"] == "no-cache"


def test_only_the_page_itself_gets_compressed_answers(page: Page) -> None:
    def encoding(**headers: str) -> str | None:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return page.browser.get("/", headers={"accept-encoding": "gzip", **sent}).headers.get("content-encoding")

    assert encoding(sec_fetch_site="same-origin") == "gzip"
    assert encoding(sec_fetch_site="none") == "gzip"
    assert encoding(sec_fetch_site="cross-site") is None
    assert encoding() is None


def test_a_forms_token_is_another_text_each_time(page: Page) -> None:
    session = page.session
    first, second = session.token(), session.token()
    assert first != second
    assert session.is_token(first)
    assert session.is_token(second)
    for wrong in ("", "zz", session.csrf, first[:-2], first[:-1] + ("0" if first[-1] != "0" else "1"), "é"):
        assert not session.is_token(wrong)
