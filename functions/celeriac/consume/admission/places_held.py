"""The places that an invocation holds: messages of one key use the same ones, one after another."""

from collections import defaultdict

from celeriac.consume.admission.asked import slot_of
from celeriac.consume.admission.company import Company, Pair
from celeriac.consume.admission.look import Look
from celeriac.consume.admission.starts import SOON, TICK, Starts
from celeriac.consume.admission.waits import Waits, bunched, waiting
from celeriac.consume.received import Received
from celeriac.flow import overrides, places, rows
from celeriac.flow.places import Place
from celeriac.model.limits import Concurrent
from celeriac.model.message import Message


class PlacesHeld:
    """The places of one invocation's lanes. A worker's death frees them at the end of its time."""

    def __init__(self, company: Company, look: Look, starts: Starts) -> None:
        self._company, self._look, self._starts = company, look, starts
        self._idle: defaultdict[str, list[Place]] = defaultdict(list)

    def lanes(self, pairs: list[Pair]) -> list[list[Pair]]:
        """Those that share places behind each other: for each key as many lanes as it may have places."""
        lanes: dict[object, list[Pair]] = {}
        counts: defaultdict[str, int] = defaultdict(int)
        for pair in pairs:
            read = self._company.rest.get(pair[0].message_id)
            shared = next(iter(read.asked.concurrents), None) if read is not None else None
            if shared is None:
                lanes[pair[0].message_id] = [pair]
            else:
                limit, key = shared
                lanes.setdefault((key, counts[key] % limit.places), []).append(pair)
                counts[key] += 1
        return list(lanes.values())

    def take(self, limit: Concurrent, key: str, message: Message, received: Received) -> Place | Waits:
        """Take a place, or one that this invocation holds and that is idle, or wait for one."""
        items, most = self._look.items, overrides.places_of(limit)
        slot, now = slot_of(message, limit.name), rows.now()
        interval = places.interval(items[key], most)
        with self._company.lock_of(key):
            place = self._idle_place(key)
            if place is None and slot is not None and slot > now + SOON:
                return waiting(message, received, limit.name, (slot - now) * TICK)  # it came early
            has_line = int(items[key].get("promised", 0)) > now and slot is None
            if place is None and not has_line:
                place = places.take(key, most, until=received.worker.deadline, seen=items)
        if place is not None:
            return place
        if slot is not None:
            return waiting(message, received, limit.name, bunched(now + interval, slot, now))
        return self._starts.wait_for_slot(limit, key, interval, now + interval, message, received)

    def give_back(self, key: str, place: Place) -> None:
        """Let the next message of this invocation have it, or free it. Raises AWS's errors."""
        if self._company.is_awaited(key):
            with self._company.lock_of(key):
                self._idle[key].append(place)
        else:
            self._free(key, place)

    def free_idle(self) -> None:
        """Free the places that no message holds. Raises AWS's errors."""
        refused: Exception | None = None
        for key in list(self._idle):
            while self._idle[key]:
                try:
                    self._free(key, self._idle[key].pop())
                except Exception as error:  # noqa: BLE001 - raised once the others are free
                    refused = error
        if refused is not None:
            raise refused

    def _idle_place(self, key: str) -> Place | None:
        now = rows.now()
        while self._idle[key]:
            place = self._idle[key].pop()
            if place.until > now:
                return place
        return None

    def _free(self, key: str, place: Place) -> None:
        places.give_back(key, place, self._look.items.get(key, {}))
