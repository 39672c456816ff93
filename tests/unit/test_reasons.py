"""The reasons of dead letters: their texts in the docs, and their form in messages."""

from pathlib import Path

import msgspec
import pytest

from celeriac.model.failure import Failure
from celeriac.model.reason import Reason

DOCS = Path(__file__).parents[2] / "docs"


def test_the_runbook_has_a_row_for_each_reason() -> None:
    lines = (DOCS / "runbook.md").read_text().splitlines()
    start = lines.index("| reason | why | then |") + 2
    rows = lines[start : lines.index("", start)]
    assert rows == [f"| {reason} | {reason.meaning} | {reason.cure} |" for reason in Reason]


@pytest.mark.parametrize("reason", Reason)
def test_the_docs_of_the_message_format_name_each_reason(reason: Reason) -> None:
    assert f"`{reason}`" in (DOCS / "reference" / "messages.md").read_text()


@pytest.mark.parametrize("reason", Reason)
def test_the_docstring_of_a_reason_has_its_meaning_and_cure(reason: Reason) -> None:
    assert reason.__doc__ == f"{reason.meaning}: {reason.cure}"


@pytest.mark.parametrize("reason", [*Reason, "of a newer release"])
def test_a_reason_is_encoded_as_its_text(reason: str) -> None:
    there = msgspec.json.encode(Failure(reason=reason))
    assert msgspec.json.decode(there, type=Failure).reason == str(reason)
