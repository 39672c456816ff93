"""The line of lanes: turns come in order, and only so many ends are recorded behind others."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from math import inf

from celeriac.execute.call import TakeTurn, TaskCall, TaskCalls
from celeriac.execute.line import MOST_BEHIND, Lane, Line
from celeriac.observe.running import RunInfo

CALL = TaskCall(print, (), {}, timedelta(seconds=1), RunInfo("work", "i-1", 1, "r-1"))


def _lane() -> TaskCalls[None]:
    yield CALL


def _line(lanes: int, *, size: int = 1, ahead: int = 9) -> Line:
    line = Line([_lane() for _ in range(lanes)], size, lambda: ahead)
    line.helpers = ahead
    return line


def _begun(line: Line, count: int) -> list[Lane]:
    """Lanes that a helper has begun."""
    lanes = [line.for_helper() for _ in range(count)]
    return [lane for lane in lanes if lane is not None]


def _runners(line: Line) -> Lane:
    lane = line.for_runner()
    assert lane is not None
    return lane


def test_a_turn_is_kept_for_a_lane_that_was_begun_earlier() -> None:
    line = _line(3)
    first = _runners(line)
    second, third = _begun(line, 2)
    line.park(third, TakeTurn())
    line.end(first, has_turn=True)
    line.park(second, TakeTurn())
    assert _runners(line) is second
    line.end(second, has_turn=True)
    assert _runners(line) is third


def test_a_later_lane_goes_first_if_there_are_turns_for_both() -> None:
    line = _line(4, size=2)
    first, other = _runners(line), _runners(line)
    second, third = _begun(line, 2)
    line.end(first, has_turn=True)
    line.end(other, has_turn=True)
    line.park(third, CALL)
    assert _runners(line) is third
    line.park(second, CALL)
    assert _runners(line) is second


def test_a_lane_that_ends_without_its_turn_holds_up_nobody() -> None:
    line = _line(3)
    first = _runners(line)
    second, third = _begun(line, 2)
    line.end(second, has_turn=False)
    line.park(third, CALL)
    line.end(first, has_turn=True)
    assert _runners(line) is third


def test_runners_begin_lanes_themselves_if_nobody_helps() -> None:
    line = _line(2, ahead=0)
    for _ in range(2):
        line.end(_runners(line), has_turn=True)
    assert line.for_runner() is None
    assert line.for_helper() is None


def test_a_runner_waits_for_a_lane_that_a_helper_is_beginning() -> None:
    line = _line(2)
    first = _runners(line)
    (second,) = _begun(line, 1)
    line.end(first, has_turn=True)
    with ThreadPoolExecutor(1) as pool:
        got = pool.submit(line.for_runner)
        line.park(second, CALL)
        assert got.result(30) is second


def test_a_runner_stays_as_long_as_a_lane_may_need_another_turn() -> None:
    line = _line(1)
    lane = _runners(line)
    assert line.leave_to_helper(lane)
    assert line.for_helper() is lane
    with ThreadPoolExecutor(1) as pool:
        got = pool.submit(line.for_runner)
        line.park(lane, TakeTurn())
        assert got.result(30) is lane
    line.end(lane, has_turn=True)
    assert line.for_runner() is None


def test_a_lane_that_waits_again_does_not_keep_the_limit_of_its_first_wait() -> None:
    line = _line(2)
    first = _runners(line)
    (second,) = _begun(line, 1)
    line.park(second, TakeTurn(0.01))
    line.end(first, has_turn=True)
    assert _runners(line) is second
    assert line.leave_to_helper(second)
    assert line.for_helper() is second
    line.park(second, TakeTurn())
    assert second.waits_until == inf


def test_a_lane_gives_up_waiting_for_its_turn_in_time() -> None:
    line = _line(2)
    _runners(line)
    (second,) = _begun(line, 1)
    line.park(second, TakeTurn(0.01))
    assert line.for_helper() is second
    assert second.result == (False, None)


def test_no_more_lanes_are_begun_than_are_worth_it() -> None:
    line = _line(4, ahead=2)
    first = _runners(line)
    second, _ = _begun(line, 2)
    line.park(second, CALL)
    assert line.unbegun == 1
    line.end(first, has_turn=True)
    assert _runners(line) is second
    assert len(_begun(line, 1)) == 1


def test_with_more_than_three_ends_unrecorded_no_lane_gets_its_turn() -> None:
    line = _line(MOST_BEHIND + 2)
    for _ in range(MOST_BEHIND + 1):
        assert line.leave_to_helper(_runners(line))
    with ThreadPoolExecutor(1) as pool:
        got = pool.submit(line.for_runner)
        (behind,) = _begun(line, 1)
        assert not got.done()
        line.end(behind, has_turn=False)
        assert got.result(30) is not None


def test_without_helpers_a_lane_keeps_its_turn() -> None:
    line = _line(1, ahead=0)
    assert not line.leave_to_helper(_runners(line))


def test_no_lane_is_given_out_once_the_worker_ends() -> None:
    line = _line(2)
    _runners(line)
    with ThreadPoolExecutor(1) as pool:
        got = pool.submit(line.for_runner)
        line.close()
        assert got.result(30) is None
    assert line.for_helper() is None


def test_an_end_that_was_left_to_a_helper_is_recorded_though_the_worker_ends() -> None:
    line = _line(2)
    first = _runners(line)
    assert line.leave_to_helper(first)
    second = _runners(line)
    line.close()
    assert line.for_helper() is first
    assert line.for_helper() is None
    assert not line.leave_to_helper(second)  # the helpers leave


def test_a_lane_that_steps_back_waits_for_those_that_were_begun_and_for_their_ends() -> None:
    line = _line(3)
    first = _runners(line)
    (second,) = _begun(line, 1)
    line.step_back(first, TakeTurn(after_others=True))
    line.park(second, CALL)
    assert _runners(line) is second
    assert line.leave_to_helper(second)
    with ThreadPoolExecutor(1) as pool:
        got = pool.submit(line.for_runner)
        assert line.for_helper() is second
        assert not got.done()
        line.end(second, has_turn=False)
        assert got.result(30) is first
