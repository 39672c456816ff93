"""`sandbox.limits`: how limits stand, and what an operator would set."""

from datetime import timedelta

import pytest

from celeriac import Breaker, Concurrent, Queue, Rate, task
from celeriac.model.limits import LimitError
from celeriac.testing import Sandbox

shown = Queue("shown", timeout=timedelta(minutes=1), batch_size=10)
one_in_five = Rate("one-in-five", 1, per=timedelta(seconds=5), by="who")
lone = Concurrent("lone", 1)
wire = Breaker("wire", failures=1, of=1, pause=timedelta(seconds=30), on=(ConnectionError,))
nobodys = Rate("nobodys", 1, by="who")
runs: list[str] = []
seen: list[int] = []


@task(shown, limits=[one_in_five])
def paced(who: str) -> None:
    runs.append(who)


@task(shown, limits=[lone])
def placed() -> None:
    seen.append(_sandbox[0].limits[lone].used)


@task(shown, limits=[wire])
def wired(*, fails: bool = False) -> None:
    runs.append("wired")
    if fails:
        raise ConnectionError


_sandbox: list[Sandbox] = []


@pytest.fixture(autouse=True)
def _empty(sandbox: Sandbox) -> None:
    runs.clear()
    seen.clear()
    _sandbox[:] = [sandbox]


def test_it_says_who_waits(sandbox: Sandbox) -> None:
    paced.enqueue_many({"who": "a"} for _ in range(4))
    sandbox.run_once()
    standing = sandbox.limits.of(one_in_five, who="a")
    assert (standing.state, standing.waiting) == ("line", 3)
    assert standing.until is not None
    assert standing.until > sandbox.now
    assert sandbox.limits.of(one_in_five, who="b").state == "free"
    sandbox.drain()
    sandbox.advance(timedelta(minutes=1))
    assert sandbox.limits.of(one_in_five, who="a").state == "free"


def test_its_own_looks_are_not_counted(sandbox: Sandbox) -> None:
    before = sandbox.calls.copy()
    sandbox.limits[lone]
    assert sandbox.calls == before


def test_it_counts_places(sandbox: Sandbox) -> None:
    placed.enqueue()
    sandbox.drain()
    assert seen == [1]
    assert sandbox.limits[lone].used == 0


def test_a_breaker_opens_and_is_closed(sandbox: Sandbox) -> None:
    wired.enqueue(fails=True)
    sandbox.run_once()
    assert sandbox.limits[wire].state == "open"
    sandbox.limits.close(wire)
    assert sandbox.limits[wire].state == "closed"
    sandbox.limits.open(wire)
    assert sandbox.limits[wire].state == "held open"
    wired.enqueue()
    sandbox.run_once()
    assert runs == ["wired"]
    sandbox.limits.close(wire)
    sandbox.advance(timedelta(minutes=2))
    sandbox.run_once()
    assert len(runs) >= 2


def test_a_limit_is_set_at_once(sandbox: Sandbox) -> None:
    sandbox.limits.set(one_in_five, 4)
    paced.enqueue_many({"who": "a"} for _ in range(4))
    sandbox.run_once()
    assert len(runs) == 4
    sandbox.limits.set(lone, 3)
    assert sandbox.limits[lone].of == 3


def test_wrong_uses_say_what_to_write(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match=r"is by who: write limits\.of\(one-in-five, who=\.\.\.\)"):
        sandbox.limits[one_in_five]
    with pytest.raises(ValueError, match="is by nothing"):
        sandbox.limits.of(lone, who="a")
    with pytest.raises(ValueError, match="no task names the limit 'nobodys'"):
        sandbox.limits.of(nobodys, who="a")
    with pytest.raises(LimitError, match="write a whole number"):
        sandbox.limits.set(lone, 0)
