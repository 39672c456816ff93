"""The demo's messages and its expectations. They make the demo fail if a count is off by one."""

import json
from collections import Counter
from dataclasses import replace

import pytest

from celeriac.model import message
from celeriac_local.demo.cases import CASES, OK, QUEUES, TWICE, Case, Counts, Run, Totals, differences, expected, items
from celeriac_local.demo.observer import counts

RUN = Run(1_700_000_000, "http://127.0.0.1:1")


def test_the_expectations_are_sums_over_the_cases() -> None:
    wanted = expected()

    assert wanted.queues["orders"] == Counts(sent=35, succeeded=30, duplicates=5)
    assert wanted.relayed == 30
    assert wanted.charged == 43
    assert wanted.overcharged == 0
    assert wanted.dead_letters == {
        "emails: malformed": 3,
        "payments: rejected": 3,
        "webhooks: malformed": 1,
        "webhooks: rejected": 2,
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_message_of_a_case_has_an_expected_end(case: Case) -> None:
    for wanted in case.expect.values():
        assert wanted.sent == wanted.ended > 0


def test_the_demo_expects_all_messages_that_it_or_the_relay_sends() -> None:
    sent = Counter[str]()
    for case, item in items(RUN):
        sent[item.queue] += 2 if case.twice else 1

    wanted = expected()
    followed = Counter({"emails": wanted.relayed, "payments": wanted.relayed})
    assert {queue: sent[queue] + followed[queue] for queue in QUEUES} == {
        queue: wanted.queues[queue].sent for queue in QUEUES
    }


def test_all_items_are_different_and_have_the_mark_of_their_run() -> None:
    bodies = [item.body or json.dumps(dict(item.payment or {})) for _, item in items(RUN)]
    ids = [item.id for _, item in items(RUN) if item.id]

    assert len(set(bodies)) == len(bodies)
    assert len(set(ids)) == len(ids)
    assert all(RUN.mark in body for body in bodies)
    users = [json.loads(body)["args"].get("user_id") for body in bodies if "welcome" in body and "seven" not in body]
    assert len(set(users)) == len(users) == 40


def test_the_demos_hand_written_messages_can_be_decoded() -> None:
    good = [item for case, item in items(RUN) if item.body and case.reason != "malformed"]

    assert all(message.decode(item.body).id == item.id for item in good)


def test_a_run_as_expected_has_no_differences() -> None:
    assert differences(expected(), expected()) == []


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (replace(expected(), charged=42), "orders charged must be 43, and is 42"),
        (replace(expected(), overcharged=1), "orders charged more than once must be 0, and is 1"),
        (replace(expected(), relayed=29), "outbox events relayed must be 30, and is 29"),
        (replace(expected(), mails=71), "e-mails sent must be 70, and is 71"),
        (
            replace(expected(), queues=expected().queues | {"orders": Counts(sent=35, succeeded=31, duplicates=5)}),
            "orders: succeeded must be 30, and is 31",
        ),
        (
            replace(expected(), dead_letters=expected().dead_letters | {"emails: exhausted": 1}),
            "dead letters, emails: exhausted must be 0, and is 1",
        ),
    ],
)
def test_every_wrong_count_is_named(found: Totals, told: str) -> None:
    assert differences(expected(), found) == [told]


def test_outcomes_in_the_log_become_the_counts_of_the_report() -> None:
    logged = Counter({"succeeded": 1, "duplicate": 1, "handed_back": 3})

    assert counts(2, logged) == TWICE
    assert OK.times(3) == Counts(sent=3, succeeded=3)
