"""schema.json: what other programs rely on. A change that breaks them fails here before it is merged."""

import json
from pathlib import Path

from celeriac.declare import registry
from celeriac.model import declared
from celeriac_console.schema.changes import changes
from celeriac_console.schema.document import document

FILE = Path(__file__).parents[2] / "schema.json"


def test_the_schema_of_messages_and_events_is_the_one_in_the_file() -> None:
    registry.load()
    with registry.only(lambda task: registry.is_of(task, declared.package())):
        old, new = json.loads(FILE.read_text(encoding="utf-8")), document()
    found = [change.text for change in changes(old, new) if change.breaks]
    assert found == [], "these changes break messages that wait; if that is meant: celeriac schema > schema.json"
    assert json.loads(json.dumps(new)) == old, "write it again: celeriac schema > schema.json"
