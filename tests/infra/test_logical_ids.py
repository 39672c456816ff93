"""A contract with every stage that is deployed: CloudFormation would make a renamed resource anew, under a name that is
taken, and the deploy would fail. So an id that is in the file stays.
"""

import json

from tests.infra import logical_ids


def test_the_logical_ids_of_deployed_stages_stay() -> None:
    """A resource that is new, or gone on purpose: `python -m tests.infra.logical_ids`, and read the diff."""
    assert logical_ids.ids() == json.loads(logical_ids.FILE.read_text())
