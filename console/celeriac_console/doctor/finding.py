"""A finding of `celeriac doctor`. Each problem has a cure, and equal findings become one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from botocore.exceptions import ClientError

from celeriac.aws import client as clients
from celeriac.model import names, settings
from celeriac.model.failure import error_message
from celeriac_console.explain import DENIED, EXPIRED, UNKNOWN, explanation


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    kind: str
    """The kind of thing that was checked, such as `queue`."""
    name: str
    """The name, such as a queue's; empty if there is only one of this kind."""
    state: str
    cure: str | None = None
    """The way to repair it; None if nothing is wrong."""

    @property
    def what(self) -> str:
        """The text of this finding alone."""
        return f"{self.kind}{' ' * bool(self.name)}{self.name}: {self.state}"


def grouped(findings: Sequence[Finding]) -> Iterator[tuple[str, str | None]]:
    """The text and the cure of each finding.

    Findings with the same kind, state and cure become one, at the position of the first.
    """
    groups: dict[tuple[str, str, str | None], list[Finding]] = {}
    for one in findings:
        groups.setdefault((one.kind, one.state, one.cure), []).append(one)
    for (kind, state, cure), some in groups.items():
        yield (
            (some[0].what if len(some) == 1 else f"{_plural(kind)} {', '.join(one.name for one in some)}: {state}"),
            cure,
        )


def _plural(kind: str) -> str:
    return kind if kind.endswith("s") else f"{kind.removesuffix('y')}ies" if kind.endswith("y") else f"{kind}s"


def failed(what: str, error: Exception) -> Finding:
    """The finding for a check that failed with `error`."""
    code = clients.error_code(error)
    state = f"can't be seen, {code or type(error).__name__}"
    if isinstance(error, ClientError) and code not in DENIED | EXPIRED | UNKNOWN:
        return Finding(what, "", state, f"AWS says: {error}. Try again in a minute")
    known = explanation(error)
    cure = known[0] if known is not None else error_message(error)
    if code in DENIED:
        cure += f". The policies {names.part(settings.stage(), 'operator-*')} allow what this command does"
    return Finding(what, "", state, cure)
