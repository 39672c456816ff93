"""A discard of the page deletes only what was counted, at its rate, and says what stays."""

import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from celeriac import Queue, Reject, task
from celeriac.aws import pause, sqs
from celeriac.aws.client import client
from celeriac.testing import Sandbox
from celeriac_console.web.jobs import discard as discard_module
from celeriac_console.web.jobs.job import Job
from celeriac_console.web.letters import previews
from celeriac_console.web.letters.previews import Previews
from tests.web.conftest import Page

crates = Queue("crates")
URL = "/dead-letters/crates"


@task(crates)
def page_packs(number: int) -> None:
    """Fail for good, in one of two ways."""
    raise (Reject("odd") if number % 2 else LookupError("even"))


def _die(sandbox: Sandbox, count: int, first: int = 0) -> None:
    page_packs.enqueue_many({"number": number} for number in range(first, first + count))
    sandbox.drain()


def _left(sandbox: Sandbox) -> list[int]:
    return sorted(letter.args["number"] for letter in sandbox.dead_letters(crates))


def _discard(page: Page, shown: str, **form: Any) -> Job:
    page.act(f"{URL}/jobs", what="discard", sure="yes", shown=shown, **form)
    job = page.shared.jobs.all()[0]
    job.join(30)
    return job


def _word(html: str) -> str:
    found = re.search(r'name="shown" value="([^"]+)"', html)
    assert found is not None
    return found[1]


def test_a_preview_of_the_first_letters_deletes_only_these_and_leads_to_the_next(page: Page, sandbox: Sandbox) -> None:
    _die(sandbox, 50)
    html = page.html(f"{URL}/discard", most=20)
    assert "Only the first 20 of about 50 letters were read" in html
    assert "This will discard <b>20 letters</b> of them" in html
    assert "All others stay, also those that match." in html
    job = _discard(page, _word(html))
    assert (job.progress().state, job.progress().count) == ("done", 20)
    assert len(_left(sandbox)) == 30
    html = page.html(f"/jobs/{job.number}")
    assert "discarded, of 20 shown ones" in html
    assert f'href="{URL}/discard"' in html
    # The next part is all that is left.
    job = _discard(page, page.json(f"{URL}/discard")["shown"])
    assert job.progress().count == 30
    assert "Look at the next ones" not in page.html(f"/jobs/{job.number}")
    assert _left(sandbox) == []
    assert [line["count"] for line in page.json("/activity")["lines"]] == [30, 20]


def test_a_discard_doesnt_read_on_when_all_that_was_shown_is_gone(page: Page, sandbox: Sandbox) -> None:
    _die(sandbox, 200)
    word = page.json(f"{URL}/discard", most=10)["shown"]
    before = sandbox.calls["sqs", "ReceiveMessage"]
    job = _discard(page, word, rate="50")
    assert job.progress().count == 10
    assert sandbox.calls["sqs", "ReceiveMessage"] - before <= 3


def test_all_that_match_are_counted_first_and_then_discarded_at_once(page: Page, sandbox: Sandbox) -> None:
    _die(sandbox, 60)
    assert "count all that match" in page.html(f"{URL}/discard", most=10, error="odd")
    page.act(f"{URL}/looks", error="odd")
    look = page.shared.jobs.get("1")
    look.join(30)
    shown = page.json("/jobs/1")["job"]
    assert (shown["what"], shown["state"], shown["count"]) == ("preview", "done", 30)
    assert [part["count"] for part in shown["work"]["parts"]] == [30]
    assert len(_left(sandbox)) == 60
    assert page.json("/activity")["lines"] == []
    # Letters that die after they were counted stay.
    _die(sandbox, 4, first=60)
    html = page.html("/jobs/1")
    assert "Discard 30 letters" in html
    assert "gone for good" in page.act(f"{URL}/jobs", status=400, what="discard", shown=_word(html))
    job = _discard(page, _word(html), error="odd")
    assert job.progress().count == 30
    assert _left(sandbox) == [*range(0, 60, 2), 60, 61, 62, 63]
    [line] = page.json("/activity")["lines"]
    assert (line["what"], line["count"], line["outcome"]) == ("dlq discard", 30, "done")
    assert line["where"] == {"queue": "crates", "error": "odd"}


def test_more_than_fit_into_one_preview_go_in_parts(
    page: Page, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discard_module, "MOST_SHOWN", 25)
    monkeypatch.setattr(discard_module, "MOST_KINDS", 1)
    _die(sandbox, 40)
    page.act(f"{URL}/looks")
    page.shared.jobs.get("1").join(30)
    html = page.html("/jobs/1")
    assert "Discard 25 letters" in html
    assert "as many as can be discarded at once" in html
    assert "more are of 1 smaller groups" in html
    job = _discard(page, _word(html))
    assert job.progress().count == 25
    assert len(_left(sandbox)) == 15
    assert "Look at the next ones" in page.html(f"/jobs/{job.number}")


def test_a_count_that_is_paused_counts_no_letter_twice(page: Page, sandbox: Sandbox) -> None:
    _die(sandbox, 30)
    page.act(f"{URL}/looks")
    job = page.shared.jobs.get("1")
    job.pause()
    if job.wait_for(frozenset({"paused"}), 30):
        job.resume()
    job.join(30)
    assert job.progress().count == 30
    assert sum(part.count for part in job.progress().work.parts) == 30


def test_a_discard_keeps_its_rate(page: Page, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    _die(sandbox, 30)
    word = page.json(f"{URL}/discard")["shown"]
    waited: list[float] = []
    monkeypatch.setattr(pause, "wait", waited.append)
    job = _discard(page, word, rate="1")
    assert job.progress().count == 30
    # At one a second, a batch is of seven, so that none is visible again before its turn.
    assert len(waited) == 4
    assert "--rate 1" in page.html(f"/jobs/{job.number}")
    assert "no rate" in page.act(f"{URL}/jobs", status=400, what="discard", sure="yes", shown=word, rate="fast")


def test_a_letter_that_is_gone_is_counted_as_not_found(page: Page, sandbox: Sandbox) -> None:
    _die(sandbox, 3)
    word = page.json(f"{URL}/discard")["shown"]
    [letter, *_] = page.json(URL, kind=page.json(URL)["groups"][0]["kind"])["letters"]
    page.act(f"{URL}/letter/{letter['message_id']}/discard")
    job = _discard(page, word)
    assert (job.progress().state, job.progress().count) == ("done", 2)
    assert page.json("/activity")["lines"][0]["outcome"] == "done, 1 not found"


def test_a_discard_spares_a_letter_that_wasnt_shown(page: Page, sandbox: Sandbox) -> None:
    """SQS itself moves a letter with the time of its sending, so it looks older than the preview."""
    _die(sandbox, 3)
    shown = page.json(f"{URL}/discard")["shown"]
    with time_machine.travel(sandbox.now - timedelta(hours=1), tick=False):
        client("sqs").send_message(QueueUrl=sqs.url("celeriac-test--crates-dlq"), MessageBody='{"task": "page_packs"}')
    _discard(page, shown)
    [left] = sandbox.dead_letters(crates)
    assert left.failure is None


def test_old_previews_are_forgotten_before_they_take_much_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previews, "MOST_IDS", 10)
    kept = Previews()
    first, second = (kept.keep(frozenset(map(str, range(7)))) for _ in range(2))
    with pytest.raises(KeyError):
        kept.of(first)
    large = kept.keep(frozenset(map(str, range(20))))
    assert len(kept.of(large)) == 20
    with pytest.raises(KeyError):
        kept.of(second)


@pytest.mark.parametrize("name", ["text", "contains"])
def test_a_text_of_the_body_chooses_letters_also_by_the_name_of_old_links(
    page: Page, sandbox: Sandbox, name: str
) -> None:
    _die(sandbox, 4)
    shown = page.json(URL, **{name: '"number":3'})
    assert (shown["matched"], shown["given"]) == (1, {"text": '"number":3'})
    html = page.html(URL, **{name: '"number":3'})
    assert 'name="text"' in html
    assert 'name="contains"' not in html
    assert "--contains" in html
