"""The person in front of the page, and what the page remembers of their session."""

import secrets
from dataclasses import dataclass, field


@dataclass(slots=True)
class Session:
    """What the page remembers between two requests of one browser."""

    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    """What each form of the page carries. Another site can't read it."""
    shows_arguments: bool = False
    """Whether arguments of tasks are shown without being asked for."""
    said: list[str] = field(default_factory=list)
    """What actions have to say on the next page."""


@dataclass(frozen=True, slots=True)
class Operator:
    """Who asks."""

    name: str
    """What the activity shows: the ARN of the AWS credentials, or the person that the identity provider names."""
    may_act: bool
    """Whether they may change anything. Else they only look."""
    session: Session
