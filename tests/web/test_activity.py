"""What operators did is written down, before it is done and after."""

import pytest
from botocore.exceptions import ClientError

from celeriac.aws.client import client
from celeriac.model import names
from celeriac.testing import Sandbox
from celeriac_console.terminal.errors import UserError
from celeriac_console.web.activity import store
from celeriac_console.web.activity.noted import noted
from celeriac_console.web.guard.operator import Operator, Session
from tests.conftest import STAGE
from tests.web.conftest import Page

ANN = Operator("ann", may_act=True, session=Session())


def test_the_activity_shows_who_did_what_to_how_many(page: Page) -> None:
    with noted(ANN, "dlq redrive", {"queue": "payments", "error": "<b>timeout</b>"}) as outcome:
        [going] = page.json("/activity")["lines"]
        assert (going["what"], going["ended_at"]) == ("dlq redrive", None)
        outcome.count = 3
    [line] = page.json("/activity")["lines"]
    assert (line["who"], line["count"], line["outcome"]) == ("ann", 3, "done")
    assert "&lt;b&gt;timeout&lt;/b&gt;" in page.html("/activity")


def test_an_action_that_fails_is_noted_without_its_text(page: Page) -> None:
    with pytest.raises(ValueError, match="secret"), noted(ANN, "pause", {}):
        raise ValueError("secret")
    assert [line["outcome"] for line in page.json("/activity")["lines"]] == ["failed: ValueError"]


def test_without_a_line_nothing_is_done(sandbox: Sandbox) -> None:
    client("dynamodb").delete_table(TableName=names.idempotency_table(STAGE))
    done = False
    with pytest.raises(client("dynamodb").exceptions.ResourceNotFoundException), noted(ANN, "pause", {}):
        done = True
    assert not done


def test_older_lines_are_on_a_next_page(page: Page) -> None:
    for number in range(60):
        with noted(ANN, f"act {number}", {}):
            pass
    first = page.json("/activity")
    assert [line["number"] for line in first["lines"]] == list(range(60, 10, -1))
    assert [line["number"] for line in page.json("/activity", before=first["older"])["lines"]] == list(range(10, 0, -1))


def test_a_line_outlives_a_year_and_then_expires(sandbox: Sandbox) -> None:
    number = store.begin("ann", "pause", {})
    answer = client("dynamodb").get_item(
        TableName=names.idempotency_table(STAGE), Key={"id": {"S": f"{store.COUNTER}#{number}"}}
    )
    assert "expiration" in answer["Item"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ClientError({"Error": {"Code": "AccessDenied", "Message": "secret"}}, "SendMessage"), "failed: AccessDenied"),
        (ClientError({"Error": {"Code": "AWS.SimpleQueueService.X"}}, "Send"), "failed: AWS.SimpleQueueService.X"),
        (ClientError({"Error": {"Code": "<b>secret", "Message": ""}}, "S"), "failed: botocore.exceptions.ClientError"),
        (UserError("secret"), "failed: UserError"),
        (ValueError("secret"), "failed: ValueError"),
    ],
)
def test_the_activity_tells_the_code_of_aws_and_no_text(page: Page, error: Exception, said: str) -> None:
    with pytest.raises(type(error)), noted(ANN, "send", {}):
        raise error
    [line] = page.json("/activity")["lines"]
    assert line["outcome"] == said
    assert "secret" not in page.html("/activity")


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "\x00", "\u202e", "x" * 9_000]
)
def test_what_a_stranger_has_written_is_shown_as_it_is(page: Page, text: str) -> None:
    with noted(ANN, "dlq redrive", {"task": text}):
        pass
    [line] = page.json("/activity")["lines"]
    assert line["where"] == {"task": text}
    assert text in page.html("/activity")


@pytest.mark.parametrize("before", ["1" * 5_000, "x", "", "-1", "²"])
def test_a_number_that_no_line_has_is_refused(page: Page, before: str) -> None:
    answer = page.browser.get("/activity", params={"before": before})
    assert answer.status_code == 400
    assert "is the number of a line" in answer.text


def test_lines_that_couldnt_be_written_hide_no_older_ones(page: Page) -> None:
    with noted(ANN, "pause", {}):
        pass
    for _ in range(120):  # AWS refuses a line that is too long
        with pytest.raises(ClientError), noted(ANN, "dlq redrive", {"error": "x" * 500_000}):
            pass
    shown = page.json("/activity")
    assert ([line["number"] for line in shown["lines"]], shown["older"]) == ([1], None)
