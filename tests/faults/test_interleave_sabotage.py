"""The interleavings must notice a guard that is missing, and their story must name the calls.

Each test takes one guard out of Celeriac's own code, and plays schedules until one breaks a promise.
"""

from collections.abc import Iterator
from itertools import chain

import pytest

from celeriac.leases import claim, lease
from celeriac.relay import held, unpublished
from tests.faults.interleave import MOMENTS, Played, Schedule, every, play
from tests.faults.scenes import SCENES
from tests.support.sabotage import plant


def _broken(scene: str, moments: str = "", *, by: str) -> Played:
    """The first schedule of the scene after which `by` is among the problems."""
    first, second = SCENES[scene].actors
    both: Iterator[Played] = chain(every(scene, first, second, moments), every(scene, second, first, moments))
    return next(played for played in both if any(by in problem for problem in played.problems))


def test_a_lease_taken_over_while_its_new_holder_lives_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, claim.condition_of, '"#token = :after AND #status = :expected"', '"#status = :expected OR #token = :after"')
    found = _broken("take-over", by="depend:a ran in two workers at once, and both held its lease")
    print(found)


def test_a_sweep_that_frees_an_aggregate_whose_next_row_was_left_meanwhile_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, held.release, ', "#last <= :last"', "")
    found = _broken("relay batch by batch", by="ran in the order")
    print(found)


def test_a_relay_that_does_not_wait_for_the_sweeper_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "hold", lambda rows, held: set())
    found = _broken("relay behind sweeper", by="ran in the order")
    print(found)


def test_a_redrive_during_a_retry_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, lease.claim, 'if not wanted.redriven or wanted.redriven == found.get("redriven"):', "if not wanted.redriven:")
    found = _broken("redrive in a retry", by="depend_late:a ran 3 times")
    print(found)


def test_two_redrives_of_one_letter_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, lease._brings_back, "return (failure.last_at", "return True or (failure.last_at")
    found = _broken("two redrives in vain", "+", by="refuse:a")
    print(found)
