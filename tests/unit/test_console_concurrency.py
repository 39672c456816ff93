"""`celeriac doctor` compares what a stage may run at once with the account's quota."""

import pytest

from celeriac import Queue
from celeriac_console.doctor.concurrency import compared


@pytest.fixture(autouse=True)
def _stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERIAC_STAGE", "dev")


def test_limits_that_fit_are_no_problem() -> None:
    found = compared([Queue("a", max_concurrency=400), Queue("b", max_concurrency=500)], quota=1000, unreserved=1000)
    assert found.cure is None
    assert found.state.startswith("906 invocations at once (900 by the limits of a, b, 6 for relay and sweeper)")


def test_limits_that_leave_nothing_for_relay_and_sweeper_are_a_problem() -> None:
    found = compared([Queue("a", max_concurrency=498), Queue("b", max_concurrency=500)], quota=1000, unreserved=1000)
    assert found.cure is not None
    assert "by 4 in all, first of b" in found.cure
    assert "--desired-value 1004" in found.cure


def test_what_is_reserved_elsewhere_cant_be_used() -> None:
    queues = [Queue("a", max_concurrency=100)]
    assert compared(queues, quota=1000, unreserved=106).cure is None
    assert compared(queues, quota=1000, unreserved=105).cure is not None


def test_a_queue_with_reserved_concurrency_takes_nothing_of_the_rest() -> None:
    queues = [Queue("a", max_concurrency=100, reserved=100), Queue("b", max_concurrency=10)]
    assert compared(queues, quota=200, unreserved=100).state.startswith("16 invocations")


def test_a_stage_that_reserves_for_relay_and_sweeper_needs_nothing_more_for_them() -> None:
    queues = [Queue("a", max_concurrency=100)]
    assert compared(queues, quota=1000, unreserved=100, reserve=True).cure is None
    assert "reserve = true" not in compared([Queue("a")], quota=1000, unreserved=994, reserve=True).state
    assert "reserve = true under stages." in compared([Queue("a")], quota=1000, unreserved=1000).state
    assert "reserve = true" not in compared([Queue("a")], quota=50, unreserved=50).state  # Lambda would refuse it


def test_the_local_cloud_has_no_settings_to_reserve_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERIAC_STAGE", "local")
    assert "stages.local" not in compared([Queue("a")], quota=1000, unreserved=1000).state


def test_each_poller_counts_for_ten_invocations() -> None:
    assert compared([Queue("a", pollers=(2, 20))], quota=1000, unreserved=1000).state.startswith("206 invocations")


def test_a_queue_without_a_limit_is_named_and_a_new_account_is_too_small_for_some() -> None:
    queues = [Queue(name) for name in "abcd"]
    assert "A backlog of a or b or c or d may take all of them" in compared(queues, quota=1000, unreserved=1000).state
    found = compared(queues, quota=10, unreserved=10)
    assert found.cure is not None
    assert found.cure.startswith("raise the quota")


@pytest.mark.parametrize("quota", [10, 1000])
def test_a_stage_without_queues_needs_relay_and_sweeper(quota: int) -> None:
    assert compared([], quota=quota, unreserved=quota).cure is None
