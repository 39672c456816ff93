"""What an operator changes of a limit: first as a preview, then done, unless somebody else was faster."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from msgspec.structs import replace

from celeriac.flow import breaker, overrides
from celeriac.flow.clear import clear_line
from celeriac.flow.overrides import Override
from celeriac.model.limits import Breaker, Limit, Rate
from celeriac_console.application import by_name
from celeriac_console.application.limited import limits, text_of
from celeriac_console.application.loading import load
from celeriac_console.limits.written import override_of, override_text
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.next_steps import command
from celeriac_console.terminal.plural import counted
from celeriac_console.terminal.times import instant_text

SOON = "Workers apply it within a minute."


class ChangedMeanwhileError(UserError):
    """Somebody else has set the limit since the preview was made."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one limit, not done yet."""

    name: str
    what: str
    """The command that does it: `limits set`."""
    preview: tuple[str, ...]
    """Sentences: what is now, what will be, what follows."""
    done: str
    """What to say when it is done."""
    seen: str | None
    """What was set when the preview was made, as it is stored."""
    override: Override | None
    """What will be set; None for nothing."""
    sets: bool
    """Whether what is set changes."""
    keys: tuple[str, ...] = ()
    """The items that are cleared."""
    closes: bool = False
    """Whether the items are those of a Breaker."""

    def apply(self) -> int:
        """Do it. Returns how many items were cleared. Raises ChangedMeanwhileError, and AWS's errors."""
        if self.sets and not overrides.replace(self.name, self.seen, self.override):
            now = overrides.written().get(self.name)
            said = _set_text(now, None) if now is not None else "nothing is set any more"
            raise ChangedMeanwhileError(f"{self.name} was changed meanwhile: {said}. Nothing was done; do it again")
        clear = breaker.close if self.closes else clear_line
        return sum(clear(key) for key in self.keys)


def to_set(name: str, value: str, burst: int | None, who: str) -> Change:
    """Set a rate, or a number of places. Raises UserError and LimitError for what can't be set."""
    limit = by_name.limit(name).limit
    override = _signed(override_of(limit, value, burst), who)
    seen = overrides.written().get(name)
    new = override_text(override, limit)
    preview = [_from_to(limit, seen, new), SOON]
    if isinstance(limit, Rate):
        burst_now = overrides.pace_under(limit, override)
        most = burst_now.burst // burst_now.interval + 1
        kept = ", as declared; --burst sets another" if burst is None and limit.burst is not None else ""
        preview.append(f"After a quiet time {counted(most, 'task')} may start at once{kept}.")
        preview.append("A task that has its slot keeps it, and starts no sooner than the new rate lets it.")
    else:
        preview.append("Tasks that run go on, also if they are more.")
    return Change(name, "limits set", tuple(preview), f"{name} is {new}. {SOON}", seen, override, sets=True)


def to_open(name: str, who: str) -> Change:
    """Hold a Breaker open, for all values of its `by`. Raises UserError for a limit of another kind."""
    limit = _breaker(name)
    seen = overrides.written().get(name)
    override = _signed(Override(is_open=True), who)
    everybody = f", for every {' and '.join(limit.names)}" if limit.names else ""
    close = command("limits", "close", name)
    preview = (
        _from_to(limit, seen, f"held open{everybody}"),
        f"Its tasks wait, and no attempt is charged, until somebody closes it: {close}",
        SOON,
    )
    return Change(
        name, "limits open", preview, f"{name} is held open. {SOON} End it: {close}", seen, override, sets=True
    )


def to_close(name: str, keys: Sequence[str]) -> Change:
    """Let a Breaker's tasks start: end what holds it open, and close the items of these keys.

    keys: none for a Breaker with a `by`, if no value is named. Raises UserError if there is nothing to do.
    """
    limit = _breaker(name)
    seen = overrides.written().get(name)
    is_held = seen is not None
    if not is_held and not keys:
        by = " ".join(f"--by {each}=VALUE" for each in limit.names)
        raise UserError(
            f"{name} isn't held open. To close it for one {' and '.join(limit.names)}: "
            f"{command('limits', 'close', name)} {by}"
        )
    preview = [f"{_set_text(seen, limit)} ends. {SOON}"] if seen is not None else []
    if keys:
        what = "It closes for these values" if limit.names else "It closes"
        preview.append(f"{what}, and its failures are counted from none. All that wait try it.")
    if limit.names and is_held:
        others = "All others that" if keys else "Those that"
        preview.append(f"{others} failures have opened stay open until one task has tried.")
    said = f"{name} is closed." if keys else f"{name} isn't held open any more."
    done = f"{said} {SOON}" if is_held else said
    return Change(name, "limits close", tuple(preview), done, seen, None, sets=is_held, keys=tuple(keys), closes=True)


def to_reset(name: str, keys: Sequence[str] | None) -> Change:
    """Remove what is set for a limit, also for one that no task names any more.

    keys: also clear these items; None for none. Raises UserError if there is nothing to do, or no such limit.
    """
    load()
    seen = overrides.written().get(name)
    known = limits().get(name)
    if known is None and seen is None:
        by_name.limit(name)  # says which names there are
    if seen is None and keys is None:
        raise UserError(f"nothing is set for {name}: {command('limits')} shows what is")
    limit = known.limit if known is not None else None
    preview = []
    if seen is not None:
        then = f"what is declared counts again: {text_of(limit)}" if limit is not None else "no task names this limit"
        preview.append(f"{_set_text(seen, limit)} ends; {then}. {SOON}")
    if keys is not None:
        preview.append(_cleared(limit))
    parts = [f"nothing is set for {name} any more"] if seen is not None else []
    parts += [f"{counted(len(keys), 'item')} of {name} cleared"] if keys is not None else []
    done = f"{', '.join(parts)}. {SOON}" if seen is not None else f"{parts[0]}."
    return Change(
        name,
        "limits reset",
        tuple(preview),
        done,
        seen,
        None,
        sets=seen is not None,
        keys=tuple(keys or ()),
        closes=isinstance(limit, Breaker),
    )


def _cleared(limit: Limit | None) -> str:
    if isinstance(limit, Breaker):
        return "It closes, and its failures are counted from none. All that wait try it."
    kept = "Starts that were taken stay counted" if isinstance(limit, Rate) else "Places that are held stay held"
    block = ", and a provider's refusal is forgotten" if isinstance(limit, Rate) else ""
    return (
        f"The line is forgotten{block}: tasks that come now may start before those that wait. {kept}, so no more start "
        "than the limit allows."
    )


def _breaker(name: str) -> Breaker:
    limit = by_name.limit(name).limit
    if not isinstance(limit, Breaker):
        number = "50/min" if isinstance(limit, Rate) else "3"
        raise UserError(
            f"{name} is no Breaker, so it is neither opened nor closed: "
            f"{command('limits', 'set', name, number)} makes its tasks wait longer"
        )
    return limit


def _signed(override: Override, who: str) -> Override:
    return replace(override, by=who, at=datetime.now(UTC))


def _from_to(limit: Limit, seen: str | None, new: str) -> str:
    before = f"{_set_text(seen, limit)}" if seen is not None else f"as declared, {text_of(limit)}"
    return f"{limit.name} is now {before}. It becomes {new}."


def _set_text(text: str | None, limit: Limit | None) -> str:
    """What is set, by whom and when."""
    if text is None:
        return "what is declared"
    override = overrides.read(text)
    if override is None:
        return "what a newer release has set"
    by = f" by {override.by}" if override.by else ""
    at = f" at {instant_text(override.at)}" if override.at is not None else ""
    return f"{override_text(override, limit)}, set{by}{at}"
