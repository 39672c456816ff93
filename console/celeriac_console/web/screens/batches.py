"""Batches that haven't ended: how their members stand, and what can be done about one."""

from dataclasses import dataclass
from typing import Any

from celeriac.declare.reference import InvalidReferenceError, parse
from celeriac.flow.batches.status import DeadMember, dead_members
from celeriac_console.batches import repair
from celeriac_console.batches.found import Found, named, unended
from celeriac_console.batches.words import waits_for
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.next_steps import command
from celeriac_console.web.activity.noted import noted
from celeriac_console.web.jobs.asked_rate import asked_rate
from celeriac_console.web.jobs.of_letters import Plan
from celeriac_console.web.jobs.redrive import Redrive
from celeriac_console.web.letters.chosen import of_batch
from celeriac_console.web.screen import Action, Asked, Done, Room, Screen, View
from celeriac_console.web.shown import address, part

MOST = 50
"""The most batches, and the most dead members, of a page."""
_LONGEST = 800


@dataclass(frozen=True, slots=True)
class Hint:
    """What a batch waits for, or what helps; with the command that does it, or an empty one."""

    said: str
    command: str


@dataclass(frozen=True, slots=True)
class Member:
    """A dead member, with the pages of its task and of its letter; empty if they aren't known."""

    index: int
    ref: str
    queue: str
    status: str
    letter: str


def read_all(asked: Asked) -> View:
    """The batches that haven't ended, or only the late ones."""
    late = asked.query.get("late") == "yes"
    listed = unended(MOST, late=late)
    data = {"batches": [_shown(each) for each in listed.found], "is_more": listed.is_cut, "late": late, "most": MOST}
    return View(data, command("batches", "list", *["--late"] * late))


def read_one(asked: Asked) -> View:
    """One batch, and a page of its dead members."""
    found = named(_id(asked.query.get("id", "")))
    batch, after = found.batch, _number(asked.query.get("after", ""))
    members = dead_members(batch, after=after, most=MOST + 1)
    shown, more = members[:MOST], members[MOST:]
    data: dict[str, Any] = {
        "batch": _shown(found),
        "hints": [_hint(each) for each in waits_for(found)],
        "members": [_member(each) for each in shown],
        "next": address("/batches/one", id=batch.id, after=shown[-1].index) if more else "",
        "first": address("/batches/one", id=batch.id) if after >= 0 else "",
        "can_finish": batch.is_sealed and not batch.fired,
        "can_give_up": not batch.fired and not found.is_given_up,
    }
    words = ["--after", str(after)] if after >= 0 else []
    return View(data, command("batches", "show", batch.id, *words), title=batch.id)


def finish(asked: Asked) -> Done:
    """Send the callback that is due."""
    found = _chosen(asked)
    repair.refuse_incomplete(found)
    with noted(asked.operator, "batches repair", {"batch": found.batch.id}) as outcome:
        now = repair.finish(found).batch
        is_new = now.fired or now.dead_told != found.batch.dead_told
        outcome.said = "done" if is_new else "nothing was due"
    what = "then" if now.fired else "dead"
    return Done(f"`{what}` was sent." if is_new else "No callback is due: nothing was sent.", _url(found))


def give_up(asked: Asked) -> Done:
    """Let nobody wait for it any more."""
    found = _chosen(asked)
    repair.refuse_given_up(found)
    with noted(asked.operator, "batches repair", {"batch": found.batch.id, "how": "give up"}):
        said = repair.give_up(found)
    return Done(said, _url(found))


def redrive(asked: Asked) -> Done:
    """Start a job for each queue that dead members came from."""
    found, rate, jobs = _chosen(asked), asked_rate(asked.form), asked.shared.jobs
    repair.refuse_incomplete(found)
    _, queues = repair.dead_of(found.batch)
    for queue in queues:
        if (other := jobs.of(queue.name)) is not None:
            raise UserError(f"job {other.number} works on {queue.name}: wait until it has ended, or stop it")
    wanted, alone = of_batch(found.batch), asked.shared.letters.job
    begun = [jobs.start(Redrive(Plan(queue, wanted, rate), alone), asked.operator.name) for queue in queues]
    if len(begun) == 1:
        return Done("It goes on when you close this page.", f"/jobs/{begun[0].number}")
    return Done(f"{len(begun)} jobs go on when you close this page, one for each queue.", "/jobs")


def _chosen(asked: Asked) -> Found:
    return repair.unended(_id(asked.form.get("id", "")))


def _id(text: str) -> str:
    if not text or len(text) > _LONGEST:
        raise UserError("choose a batch of the list")
    return text


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < len(str(10**9)) else -1


def _url(found: Found) -> str:
    return address("/batches/one", id=found.batch.id)


def _hint(sentence: str) -> Hint:
    said, is_command, rest = sentence.partition(": celeriac ")
    return Hint(said, f"celeriac {rest}" if is_command else "")


def _shown(found: Found) -> dict[str, Any]:
    status = found.status
    share = status.succeeded / status.total if status.total else 1.0
    return found.as_json() | {
        "url": _url(found),
        "share": share if found.batch.is_sealed else None,
        "opened_at": found.batch.opened_at,
        "sealed_at": found.batch.sealed_at,
        "late_at": found.batch.late_at,
    }


def _member(member: DeadMember) -> Member:
    try:
        id_ = parse(member.ref).id
    except InvalidReferenceError:
        return Member(member.index, member.ref, member.queue, "", "")
    letter = f"/dead-letters/{part(member.queue)}/letter/{part(id_)}" if member.queue else ""
    return Member(member.index, member.ref, member.queue, address("/status", ref=member.ref), letter)


ROOM = Room(
    (
        Screen("/batches", "Batches", "batches.html", read_all, menu="Batches"),
        Screen("/batches/one", "Batch", "batch.html", read_one),
    ),
    (
        Action("/batches/repair", finish),
        Action("/batches/redrive", redrive),
        Action("/batches/give-up", give_up),
    ),
)
