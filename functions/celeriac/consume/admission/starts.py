"""The starts and slots that an invocation takes of its rates."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta

from celeriac.aws import pause
from celeriac.consume.admission.asked import slot_of
from celeriac.consume.admission.company import Company
from celeriac.consume.admission.look import Look
from celeriac.consume.admission.waits import BEYOND, Waits, between, bunched, waiting
from celeriac.consume.received import Received
from celeriac.flow import overrides, rate, rows
from celeriac.flow.rate import Start
from celeriac.model.limits import Concurrent, Rate
from celeriac.model.message import Message

TICK = timedelta(microseconds=1)
SOON = rate.SOON // TICK


class Starts:
    """What was taken by one write for several lanes, and what each lane takes of it."""

    def __init__(self, company: Company, look: Look) -> None:
        self._company, self._look = company, look
        self._starts: defaultdict[str, list[Start]] = defaultdict(list)
        self._slots: defaultdict[str, list[int]] = defaultdict(list)

    def adopt(self, rates: Sequence[tuple[Rate, str]]) -> None:
        """Forget what items hold of a slower pace. Raises AWS's errors."""
        for limit, key in rates:
            rate.adopt(key, overrides.pace_of(limit), self._look.items)

    def stand_in_line(self, limit: Rate, key: str, message: Message, received: Received) -> Waits | None:
        """Let a message wait that has no business at the front yet; None if it may try to start."""
        pace, now, slot = overrides.pace_of(limit), rows.now(), slot_of(message, limit.name)
        if slot is not None and slot > now + SOON:
            return waiting(message, received, limit.name, (slot - now) * TICK)  # it came early
        line = rate.line_of(self._look.items[key])
        free = rate.free_at(line, pace, has_slot=slot is not None, now=now)
        # A lane that sleeps must not sleep beyond its worker's time.
        soon = SOON if received.worker.left > rate.SOON else 0
        if max(free, slot or 0) <= now + soon and line.blocked <= now:
            return None
        return self._no_start(limit, key, message, received)

    def take(self, rates: Sequence[tuple[Rate, str]], message: Message, received: Received) -> Waits | None:
        """Take a start of each rate, and wait in this lane for the last of them.

        A start must be used when its time comes. One that is over while another one is waited for is lost.
        """
        taken: dict[str, Start] = {}
        for _ in range(rate.MOST_TRIES if rates else 0):
            for limit, key in rates:
                if key not in taken:
                    start = self._start(limit, key, message)
                    if start is None:
                        return self._no_start(limit, key, message, received)
                    taken[key] = start
            begin = rows.instant(max(start.at for start in taken.values()))
            if begin - rows.instant(rows.now()) > received.worker.left:
                break  # the lane must not sleep beyond its worker's time
            pause.until(begin)
            now = rows.now()
            if not (over := [key for key, start in taken.items() if start.until < now]):
                return None
            for key in over:
                del taken[key]
        return self._no_start(*rates[0], message, received) if rates else None

    def wait_for_slot(  # noqa: PLR0917 - what rates and places both know
        self, limit: Rate | Concurrent, key: str, interval: int, begin: int, message: Message, received: Received
    ) -> Waits:
        """Let a newcomer wait for the next slot of a line, which begins at `begin` if there is none yet."""
        with self._company.lock_of(key):
            if not self._slots[key]:
                wanted = self._company.newcomers(key)
                self._slots[key] = rate.reserve(
                    key, interval, wanted, free=begin, seen=self._look.items, holds=self._holds(limit, key)
                )
            slot = self._slots[key].pop(0) if self._slots[key] else None
        wait = (slot - rows.now()) * TICK if slot is not None else between(*BEYOND)
        return waiting(message, received, limit.name, wait, slot=slot)

    def _start(self, limit: Rate, key: str, message: Message) -> Start | None:
        slot, pace = slot_of(message, limit.name), overrides.pace_of(limit)
        if slot is not None:
            pause.until(rows.instant(slot))  # it is past, or within a second
        with self._company.lock_of(key):
            if (start := self._pooled(key)) is not None:
                return start
            # One that comes back takes for itself: what is free now may be promised to others.
            wanted = min(self._company.newcomers(key), self._company.free_lanes) if slot is None else 1
            starts = rate.take(key, pace, wanted, has_slot=slot is not None, seen=self._look.items)
            self._starts[key] = starts[1:]
            return starts[0] if starts else None

    def _holds(self, limit: Rate | Concurrent, key: str) -> int:
        """Until when a limit's item holds starts."""
        if not isinstance(limit, Rate):
            return 0
        return rate.holds_until(rate.line_of(self._look.items.get(key, {})), overrides.pace_of(limit), rows.now())

    def _pooled(self, key: str) -> Start | None:
        """A start that was taken for another lane of this worker, and that is still good."""
        now = rows.now()
        while self._starts[key]:
            start = self._starts[key].pop(0)
            if start.until >= now:
                return start
        return None

    def _no_start(self, limit: Rate, key: str, message: Message, received: Received) -> Waits:
        pace, slot, now = overrides.pace_of(limit), slot_of(message, limit.name), rows.now()
        free = rate.free_at(rate.line_of(self._look.items[key]), pace, has_slot=True, now=now)
        if slot is None:
            return self.wait_for_slot(limit, key, pace.interval, free, message, received)
        return waiting(message, received, limit.name, bunched(free, slot, now))
