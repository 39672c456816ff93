"""When a drain gives up: soon if one message makes the next one, late if many messages wait at the same time."""

import pytest

from celeriac.testing.endless import Invocations, NotQuietError


def _until_it_gives_up(*waiting: int) -> int:
    """How many invocations it takes. The last number of waiting messages stays."""
    left = list(waiting)
    invocations = Invocations(lambda: {"jobs": number} if (number := left.pop(0) if left[1:] else left[0]) else {})
    for number in range(1, 20_000):
        try:
            invocations.count()
        except NotQuietError:
            return number
    return 0


@pytest.mark.parametrize(
    ("waiting", "number"),
    [
        ((1,), 1_100),
        ((20, 1), 3_000),  # nineteen of them are done
        ((5_000, 1), 10_000),
        ((0,), 0),  # the last message was done
    ],
)
def test_a_drain_gives_up_the_later_the_more_messages_have_waited(waiting: tuple[int, ...], number: int) -> None:
    assert _until_it_gives_up(*waiting) == number


def test_each_drain_counts_anew() -> None:
    invocations = Invocations(lambda: {"jobs": 1})
    for _ in range(3):
        invocations.begin()
        for _ in range(1_099):
            invocations.count()
    with pytest.raises(NotQuietError, match="after 1100 invocations, and there are messages in jobs"):
        invocations.count()
