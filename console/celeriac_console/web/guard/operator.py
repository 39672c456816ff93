"""The person in front of the page, and what the page remembers of their session."""

import secrets
from dataclasses import dataclass, field


@dataclass(slots=True)
class Session:
    """What the page remembers between two requests of one browser."""

    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    """What each form of the page carries, see `token`. Another site can't read it."""

    shows_arguments: bool = False
    """Whether arguments of tasks are shown without being asked for."""
    said: list[str] = field(default_factory=list)
    """What actions have to say on the next page."""

    def token(self) -> str:
        """The token as a form carries it: masked, and so another text each time.

        Else the length of compressed pages would tell it, a letter at a time.
        """
        secret = self.csrf.encode()
        mask = secrets.token_bytes(len(secret))
        return (mask + bytes(a ^ b for a, b in zip(mask, secret, strict=True))).hex()

    def is_token(self, sent: str) -> bool:
        """Whether a form has carried the token, masked in whatever way."""
        try:
            both = bytes.fromhex(sent)
        except ValueError:
            return False
        half = len(both) // 2
        found = bytes(a ^ b for a, b in zip(both[:half], both[half : 2 * half], strict=True))
        return secrets.compare_digest(found, self.csrf.encode())


@dataclass(frozen=True, slots=True)
class Operator:
    """Who asks."""

    name: str
    """What the activity shows: the ARN of the AWS credentials, or the person that the identity provider names."""
    may_act: bool
    """Whether they may change anything. Else they only look."""
    session: Session
    sees_arguments: bool = True
    """Whether they may see arguments and results of tasks."""
    leave: str = ""
    """Where they sign out; empty if they don't."""

    @property
    def shows_arguments(self) -> bool:
        """Whether arguments are shown to them without being asked for."""
        return self.sees_arguments and self.session.shows_arguments


@dataclass(frozen=True, slots=True)
class Refused:
    """Why somebody may not come in."""

    sentence: str
    """Says what to do, too."""
    status: int = 401
    """401 for somebody unknown, 403 for somebody known."""
