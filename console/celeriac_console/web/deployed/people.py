"""Who a person is to the page, by what the identity provider says of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from celeriac_console.web.deployed.behind import ANYBODY, Behind


@dataclass(frozen=True, slots=True)
class Person:
    """Who asks, and what they may do."""

    id: str
    """What the identity provider calls them, for ever."""
    name: str
    """For the activity: their e-mail address if there is one, and the id."""
    may_act: bool
    sees_arguments: bool


def person(claims: Mapping[str, Any], behind: Behind) -> Person | None:
    """The person of the claims; None for somebody who may not even look."""
    has = values(claims.get(behind.claim))
    # An address that nobody has checked is what its owner typed, and so could be anybody's. Some say nothing of it.
    if behind.claim == "email" and claims.get("email_verified", True) not in (True, "true"):
        has = frozenset()
    acts = _is_one(has, behind.operators)
    if not acts and not _is_one(has, behind.viewers):
        return None
    id_, email = str(claims["sub"]), claims.get("email")
    name = f"{email} ({id_})" if isinstance(email, str) and email != id_ else id_
    return Person(id_, name, acts, acts or behind.viewers_see_arguments)


def values(claim: object) -> frozenset[str]:
    """A claim's values. Providers send one as a text and several as a list."""
    if isinstance(claim, str):
        return frozenset({claim})
    if isinstance(claim, list):
        return frozenset(each for each in claim if isinstance(each, str))
    return frozenset()


def _is_one(has: frozenset[str], wanted: tuple[str, ...]) -> bool:
    return ANYBODY in wanted or not has.isdisjoint(wanted)
