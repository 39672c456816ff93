"""What `celeriac doctor` finds: equal findings are told together, and each that is wrong has a cure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from botocore.exceptions import ClientError

from celeriac.aws import client as clients
from celeriac.model import settings
from celeriac.model.failure import error_message
from celeriac_console.mistakes import DENIED, EXPIRED, UNKNOWN, told


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was looked at."""

    kind: str
    """What it is, such as queue."""
    name: str
    """Which of them; empty where there is one."""
    state: str
    cure: str | None = None
    """None where nothing is wrong."""

    @property
    def what(self) -> str:
        """It, alone."""
        return f"{self.kind}{' ' * bool(self.name)}{self.name}: {self.state}"


def grouped(findings: Sequence[Finding]) -> Iterator[tuple[str, str | None]]:
    """Each with its cure; those of one kind, state and cure as one, where the first of them stands."""
    groups: dict[tuple[str, str, str | None], list[Finding]] = {}
    for one in findings:
        groups.setdefault((one.kind, one.state, one.cure), []).append(one)
    for (kind, state, cure), some in groups.items():
        yield (some[0].what if len(some) == 1 else f"{kind}s {', '.join(one.name for one in some)}: {state}"), cure


def unlooked(what: str, error: Exception) -> Finding:
    """A part that couldn't be looked at."""
    code = clients.error_code(error)
    state = f"can't be seen, {code or type(error).__name__}"
    if isinstance(error, ClientError) and code not in DENIED | EXPIRED | UNKNOWN:
        return Finding(what, "", state, f"AWS says: {error}. Try again in a minute")
    known = told(error)
    cure = known[0] if known is not None else error_message(error)
    if code in DENIED:
        cure += f". The policies celeriac-{settings.stage()}-operator-* allow what this command does"
    return Finding(what, "", state, cure)
