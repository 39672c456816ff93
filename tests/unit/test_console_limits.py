"""`celeriac limits`: limits at run time, as an operator types them."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from typer.testing import CliRunner, Result

from celeriac import Backoff, Breaker, Concurrent, Queue, Rate, Throttled, task
from celeriac.aws.client import client
from celeriac.flow import overrides, places, rate, rows
from celeriac.flow.overrides import Override
from celeriac.testing import Sandbox
from celeriac_console.limits import items
from celeriac_console.main import app
from tests.support.terminal import AtTerminal

desk = Queue("desk", timeout=timedelta(minutes=1))
counter = Queue("counter", timeout=timedelta(minutes=1))
letters = Rate("letters", 6, per=timedelta(minutes=1))
calls = Rate("calls", 100, per=timedelta(minutes=5), burst=40, by=("account", "region"))
phones = Concurrent("phones", 3)
courier = Breaker("courier", failures=2, of=10, pause=timedelta(minutes=2), on=(ConnectionError,))
carriers = Breaker("carriers", failures=1, pause=timedelta(minutes=2), on=(ConnectionError,), by="carrier")
down: list[str] = []
ran: list[object] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    down.clear()
    ran.clear()


@task(desk, limits=[letters])
def write_letter(number: int) -> None:
    if down:
        raise Throttled(retry_after=timedelta(minutes=3))
    ran.append(number)


@task(desk, limits=[calls, phones])
def phone(account: int, region: str, text: str = "") -> None:
    ran.append(account)


@task(counter, limits=[courier, carriers], retry=Backoff(base=timedelta(seconds=1), jitter=0, attempts=20))
def ship(parcel: int, carrier: str) -> None:
    if down:
        raise ConnectionError("the courier doesn't answer")
    ran.append(parcel)


def _celeriac(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["--stage", "test", *arguments])


def _run(*arguments: str) -> Result:
    return _celeriac("limits", *arguments)


def _rows(*arguments: str) -> dict[str, Any]:
    answer = _run(*arguments, "--json")
    assert answer.exit_code == 0, answer.output
    return {row["name"]: row for row in json.loads(answer.stdout)}


def _done(*arguments: str) -> str:
    answer = _run(*arguments)
    assert answer.exit_code == 0, answer.output
    return " ".join(answer.output.split())


def _refused(*arguments: str) -> str:
    answer = _run(*arguments)
    assert answer.exit_code == 2, answer.output
    return " ".join(answer.output.split())


def test_every_limit_stands_there_with_what_it_declares(sandbox: Sandbox) -> None:
    found = _rows()
    ours = {name: found[name] for name in ("letters", "calls", "phones", "courier", "carriers")}
    assert {name: (row["kind"], row["declared"]) for name, row in ours.items()} == {
        "letters": ("rate", "6/min"),
        "calls": ("rate", "100 in 5 min, burst 40 by account, region"),
        "phones": ("places", "3 places"),
        "courier": ("breaker", "opens at 2 failures of 10, for 2 min"),
        "carriers": ("breaker", "opens at 1 failure of 20, for 2 min by carrier"),
    }
    assert ours["letters"]["tasks"] == ["write_letter"]
    assert ours["courier"]["queues"] == ["counter"]
    assert ours["letters"]["standing"]["state"] == "free"
    assert ours["courier"]["standing"]["state"] == "closed"
    assert {row["override"] for row in ours.values()} == {None}
    assert "free, 0 of 1 in use" in _done()


def test_who_waits_in_line_is_counted_and_until_when(sandbox: Sandbox) -> None:
    write_letter.enqueue_many({"number": number} for number in range(8))
    sandbox.run_once()
    stands = _rows()["letters"]["standing"]
    assert (stands["state"], stands["used"], stands["of"]) == ("line", 1, 1)
    assert stands["waiting"] == 7
    assert "about 7 wait until" in _done()
    sandbox.advance(timedelta(minutes=5))
    assert _rows()["letters"]["standing"]["waiting"] == 0


def test_a_raised_rate_makes_the_line_before_it_no_longer(sandbox: Sandbox) -> None:
    write_letter.enqueue_many({"number": number} for number in range(8))
    sandbox.run_once()
    _done("set", "letters", "120/min", "--yes")
    assert "about 7 wait until" in _done()
    sandbox.advance(timedelta(minutes=15))
    rate.reserve(rows.of_limit("letters", ""), 500_000, 20, free=rows.now(), seen={})
    assert "about 20 wait until" in _done()


def test_a_long_line_says_that_more_wait(sandbox: Sandbox) -> None:
    seen: rows.Seen = {}
    for wanted in (100, 1):  # slots of fifteen minutes, and the one that ends beyond them
        rate.reserve(rows.of_limit("letters", ""), 10_000_000, wanted, free=rows.now(), seen=seen)
    assert "about 91 or more wait until" in _done()


def test_a_provider_that_refuses_is_told(sandbox: Sandbox) -> None:
    down.append("yes")
    write_letter.enqueue(1)
    sandbox.run_once()
    stands = _rows()["letters"]["standing"]
    assert stands["state"] == "blocked"
    assert stands["waiting"] == 0
    assert "the provider refuses until" in _done()


def test_places_that_are_held_and_those_of_the_dead(sandbox: Sandbox) -> None:
    key, seen = rows.of_limit("phones", ""), {}  # type: ignore[var-annotated]
    for minutes in (1, 2, 3):
        assert places.take(key, 3, until=sandbox.now + timedelta(minutes=minutes), seen=seen)
    assert "3 of 3 places are held" in _done()
    sandbox.advance(timedelta(seconds=90))
    assert _rows()["phones"]["standing"]["used"] == 2


def test_an_open_breaker_stands_there_until_one_has_tried(sandbox: Sandbox) -> None:
    down.append("yes")
    ship.enqueue(1, carrier="a")
    ship.enqueue(2, carrier="b")
    sandbox.run_once()
    found = _rows()
    assert found["courier"]["standing"]["state"] == "open"
    assert found["carriers"]["standing"] is None
    assert [each["standing"]["state"] for each in found["carriers"]["items"]] == ["open", "open"]
    assert "2 items, 2 of them hold tasks up" in _done()
    sandbox.advance(timedelta(minutes=3))
    assert _rows()["courier"]["standing"]["state"] == "half-open"
    assert "the next one tries" in _done()


def test_one_value_is_looked_up_as_the_consumer_spells_it(sandbox: Sandbox) -> None:
    for number in range(60):
        phone.enqueue(7, region="eu", text=str(number))
    sandbox.drain()
    found = _rows("--by", "region=eu", "--by", "account=7")
    assert list(found) == ["calls"]
    [item] = found["calls"]["items"]
    assert item["standing"]["used"] > 0
    [other] = _rows("--by", "account=8", "--by", "region=eu")["calls"]["items"]
    assert other["standing"]["used"] == 0


def test_of_many_values_the_busiest_are_shown_by_their_hashes(sandbox: Sandbox) -> None:
    for account in range(30):
        key = rows.of_limit("calls", phone.text_of(("account", "region"), {"account": account, "region": "eu"}))
        rate.reserve(key, 3_000_000, account + 1, free=rows.now(), seen={})
    found = _rows()["calls"]
    assert found["found"] == 30
    assert [each["standing"]["waiting"] for each in found["items"]] == [*range(30, 20, -1)]
    shown = _done()
    assert "30 items, 10+ of them hold tasks up" in shown
    assert "eu" not in shown.split()


def test_a_large_table_is_read_in_part_and_says_so(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    real = BaseClient._make_api_call  # type: ignore[attr-defined]
    pages: list[object] = []

    def endless(self: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        if operation != "Scan":
            return real(self, operation, arguments)
        pages.append(arguments.get("ExclusiveStartKey"))
        return {"Items": [], "LastEvaluatedKey": rows.key_of("limit#calls#0")}

    monkeypatch.setattr(BaseClient, "_make_api_call", endless)
    assert "more items than 10 megabytes" in _done()
    assert len(pages) == items.MOST_PAGES
    assert pages[1] == rows.key_of("limit#calls#0")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["set", "leters", "5/s"], "no task has a limit named 'leters'. Did you mean letters?"),
        (["set", "letters", "fast"], "'fast' is no rate: write e.g. celeriac --stage test limits set letters 50/min"),
        (["set", "letters", "0/s"], "limit is 0, write a whole number from 1"),
        (["set", "letters", "5 in 3d"], "lies between a millisecond and a day"),
        (["set", "letters", "5/s", "--burst", "0"], "burst is 0, write a whole number from 1"),
        (["set", "phones", "5/s"], "'5/s' is no number of places"),
        (["set", "phones", "101"], "places is 101, write a whole number from 1 to 100"),
        (["set", "phones", "5", "--burst", "3"], "leave --burst out"),
        (["set", "courier", "5/s"], "courier is a Breaker, it has no number to set"),
        (["open", "letters"], "letters is no Breaker"),
        (["close", "phones"], "phones is no Breaker"),
        (["close", "carriers"], "--by carrier=VALUE"),
        (["close", "courier", "--by", "carrier=a"], "the limit courier is one for all: leave --by out"),
        (["close", "carriers", "--by", "host=a"], "the limit carriers is by carrier: give --by carrier=VALUE"),
        (["reset", "letters"], "nothing is set for letters"),
        (["reset", "lettrs"], "Did you mean letters?"),
        (["reset", "calls", "--items"], "give --by account=VALUE --by region=VALUE"),
        (["reset", "calls", "--items", "--by", "account=x", "--by", "region=eu"], "Expected `int`, got `str`"),
        (["reset", "letters", "--by", "a=1"], "--by says which item to clear"),
        (["--by", "nobody=1"], "no limit is by nobody: there are limits by"),
        (["--by", "account"], "an argument is written name=value"),
        (["--json", "close", "courier"], "write the options behind the command"),
        (["lift", "letters"], "Did you mean: celeriac limits reset?"),
    ],
)
def test_what_cant_be_done_is_refused_with_its_cure(sandbox: Sandbox, arguments: list[str], sentence: str) -> None:
    said = _refused(*arguments)
    assert sentence in said.replace("│ ", "")
    assert overrides.written() == {}


@pytest.mark.parametrize(
    ("text", "limit", "seconds"),
    [
        ("50/min", 50, 60),
        ("100/s", 100, 1),
        ("5/h", 5, 3600),
        ("5000/d", 5000, 86400),
        ("10 in 5m", 10, 300),
        ("10 in 5 min", 10, 300),
        ("7 / m", 7, 60),
    ],
)
def test_a_rate_is_set_as_people_write_it(sandbox: Sandbox, text: str, limit: int, seconds: int) -> None:
    assert "Workers apply it within a minute" in _done("set", "letters", text)
    override = overrides.now()["letters"]
    assert (override.limit, override.per_microseconds) == (limit, seconds * 1_000_000)
    assert override.by.startswith("arn:aws:")
    assert override.at == sandbox.now


def test_workers_obey_what_is_set_and_what_is_declared_after_its_reset(sandbox: Sandbox) -> None:
    write_letter.enqueue_many({"number": number} for number in range(20))
    _done("set", "letters", "20/s", "--burst", "20")
    sandbox.run_once()
    sandbox.run_once()
    assert len(ran) == 20
    assert "20/s, burst 20 by arn:aws:" in _done()
    assert "what is declared counts again: 6/min" in _done("reset", "letters", "--dry-run")
    assert overrides.written()
    assert "nothing is set for letters any more" in _done("reset", "letters")
    assert overrides.written() == {}


def test_a_preview_says_what_is_now_and_what_will_be(sandbox: Sandbox) -> None:
    said = _done("set", "calls", "50/min", "--dry-run")
    assert "calls is now as declared, 100 in 5 min, burst 40 by account, region. It becomes 50/min." in said
    assert "40 tasks may start at once, as declared; --burst sets another" in said
    assert overrides.written() == {}
    _done("set", "calls", "50/min")
    said = _done("set", "calls", "9/min", "--burst", "2", "--dry-run")
    assert "calls is now 50/min, set by arn:aws:" in said
    assert "2 tasks may start at once." in said
    told = json.loads(_run("set", "calls", "9/min", "--dry-run", "--json").stdout)
    assert told["limit"] == "calls"


def test_a_stage_that_keeps_its_data_asks(
    sandbox: Sandbox, at_terminal: AtTerminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "celeriac.toml").write_text('name = "celeriac"\n[stages.test]\n')
    monkeypatch.chdir(tmp_path)
    assert "add --yes to do it without being asked" in _refused("open", "courier")
    code, told = at_terminal("n\n", "--stage", "test", "limits", "open", "courier")
    assert code == 1
    assert "courier is now as declared" in told
    assert "Do it, in the stage test?" in told
    assert overrides.written() == {}
    assert "courier is held open" in _done("open", "courier", "--yes")


def test_a_breaker_is_held_open_and_closed(sandbox: Sandbox) -> None:
    _done("open", "carriers")
    ship.enqueue(1, carrier="a")
    sandbox.run_once()
    assert ran == []
    assert "held open by arn:aws:" in _done()
    assert "carriers isn't held open any more" in _done("close", "carriers")
    sandbox.drain()
    assert ran == [1]


def test_close_ends_also_what_failures_have_opened(sandbox: Sandbox) -> None:
    down.append("yes")
    handles = [ship.enqueue(number, carrier="a") for number in range(3)]
    sandbox.run_once()
    down.clear()
    assert "courier is closed" in _done("close", "courier")
    assert _rows()["courier"]["standing"]["state"] == "closed"
    assert [each["standing"]["state"] for each in _rows("--by", "carrier=a")["carriers"]["items"]] == ["open"]
    _done("close", "carriers", "--by", "carrier=a")
    assert [each["standing"]["state"] for each in _rows("--by", "carrier=a")["carriers"]["items"]] == ["closed"]
    begun = sandbox.now
    sandbox.drain()
    assert {handle.status().state for handle in handles} == {"succeeded"}
    assert sandbox.now - begun < timedelta(minutes=5)


def test_reset_with_items_forgets_the_line_and_no_start(sandbox: Sandbox) -> None:
    write_letter.enqueue_many({"number": number} for number in range(8))
    sandbox.run_once()
    key = rows.of_limit("letters", "")
    before = rows.read(key)
    said = _done("reset", "letters", "--items")
    assert said == "1 item of letters cleared."
    after = rows.read(key)
    assert "promised" not in after
    assert (after["spent"], after["expires_at"]) == (before["spent"], before["expires_at"])
    sandbox.drain()
    assert len(ran) == 8


def test_reset_with_items_leaves_held_places(sandbox: Sandbox) -> None:
    key = rows.of_limit("phones", "")
    assert places.take(key, 3, until=sandbox.now + timedelta(minutes=1), seen={})
    _done("reset", "phones", "--items")
    assert len(places.holders_of(rows.read(key))) == 1


def test_of_two_operators_the_second_is_told(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    real = overrides.replace

    def late(name: str, seen: str | None, override: Override | None) -> bool:
        monkeypatch.setattr(overrides, "replace", real)
        overrides.put("letters", Override(3, 60_000_000, by="bob"))
        return real(name, seen, override)

    monkeypatch.setattr(overrides, "replace", late)
    said = _refused("set", "letters", "9/min")
    assert "letters was changed meanwhile: 3/min, set by bob. Nothing was done" in said
    assert overrides.now()["letters"].limit == 3


def test_what_is_set_for_a_limit_that_is_gone_is_shown_and_removed(sandbox: Sandbox) -> None:
    overrides.put("gone", Override(50, 60_000_000, by="bob"))
    overrides.put("phones", Override(50, 60_000_000, by="bob"))
    found = _rows()
    assert (found["gone"]["kind"], found["gone"]["declared"]) == ("", "no task names it")
    assert found["phones"]["standing"]["of"] == 3
    assert "without effect, for the limit is of another kind now" in found["phones"]["override"]["text"]
    assert "nothing is set for gone any more" in _done("reset", "gone")
    assert list(overrides.written()) == ["phones"]


def test_an_override_of_a_newer_release_is_shown_as_such(sandbox: Sandbox) -> None:
    item = {rows.KEY: {"S": rows.OVERRIDES}, "of_letters": {"S": '{"limit": "many"}'}}
    client("dynamodb").put_item(TableName=rows.table(), Item=item)
    assert "not readable: a newer release has set it" in _rows()["letters"]["override"]["text"]
    assert "what a newer release has set" in _done("set", "letters", "5/min", "--dry-run")


def test_a_stage_without_the_table_says_what_to_do(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    real = BaseClient._make_api_call  # type: ignore[attr-defined]

    def missing(self: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        if operation == "BatchGetItem":
            raise ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "no"}}, operation)
        return real(self, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", missing)
    assert "it was deployed without them; deploy it" in _refused()


def test_on_a_narrow_terminal_each_limit_gets_lines(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    lines = [line.split("\x1b[0m")[0] for line in _run().output.splitlines()]
    assert "  6/min" in lines


def test_tasks_and_queues_say_which_limits_they_have_and_who_waits(sandbox: Sandbox) -> None:
    handles = write_letter.enqueue_many({"number": number} for number in range(8))
    sandbox.run_once()
    assert "limits calls (100 in 5 min, burst 40 by account, region), phones (3 places)" in _celeriac("tasks").output
    queues = {row["queue"]: row for row in json.loads(_celeriac("queues", "--json").stdout)}
    assert queues["desk"]["limits"] == {"calls": None, "letters": 7, "phones": 0}
    assert queues["counter"]["limits"] == {"carriers": None, "courier": None}
    assert "calls, letters (7), phones" in _celeriac("queues").output
    told = _celeriac("status", handles[-1].ref).output
    assert "write_letter: queued, waits for the limit letters, about until" in told
    assert json.loads(_celeriac("status", "--json", handles[-1].ref).stdout)[0]["waits_for"] == "letters"


def test_queues_without_the_right_to_see_limits_show_the_rest(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = BaseClient._make_api_call  # type: ignore[attr-defined]

    def refuses(self: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        if operation == "BatchGetItem":
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, operation)
        return real(self, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", refuses)
    queues = {row["queue"]: row for row in json.loads(_celeriac("queues", "--json").stdout)}
    assert queues["desk"]["limits"] == {"calls": None, "letters": None, "phones": None}
