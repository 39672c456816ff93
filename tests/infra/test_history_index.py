"""The index of ended runs: a stage has it, its alarm and its rights if a queue keeps a history."""

from typing import Any

import pytest

from celeriac import Queue
from celeriac.leases import history
from celeriac.model import names
from celeriac_cdk.rights import to_read_status
from tests.infra.conftest import build, recurring
from tests.infra.simulator import allowed, arn, of_managed
from tests.infra.template import Stage

kept, plain = Queue("kept", history=True), Queue("plain")
TASKS = [recurring("pay", None, queue=kept), recurring("mail", None, queue=plain)]
INDEX = arn("dynamodb", "table/celeriac-test--idempotency/index/runs")
QUERY = "dynamodb:Query"


@pytest.fixture(scope="module", name="keeping")
def _keeping() -> Stage:
    return Stage(*build([kept, plain], TASKS, stage="test"))


def _records(stage: Stage) -> Any:
    return stage.state.named("DynamoDB::Table", "TableName", names.idempotency_table("test"))


def test_the_records_have_an_index_of_what_has_ended(keeping: Stage) -> None:
    table = _records(keeping)
    (index,) = table["GlobalSecondaryIndexes"]
    assert index["IndexName"] == names.runs_index()
    assert [each["AttributeName"] for each in index["KeySchema"]] == [history.RUN_OF, history.ENDED_AT]
    types = {each["AttributeName"]: each["AttributeType"] for each in table["AttributeDefinitions"]}
    assert (types[history.RUN_OF], types[history.ENDED_AT]) == ("S", "N")
    assert index["Projection"] == {"ProjectionType": "INCLUDE", "NonKeyAttributes": [*history.LISTED]}


def test_who_reads_may_query_it(keeping: Stage) -> None:
    for policy in ("reader", "operator"):
        assert allowed([*of_managed(keeping.state, f"celeriac-test--{policy}-${{AWS::Region}}")], QUERY, INDEX)
    for policy in ("producer-kept", "emitter"):
        assert not allowed([*of_managed(keeping.state, f"celeriac-test--{policy}-${{AWS::Region}}")], QUERY, INDEX)


def test_who_asks_for_the_status_of_a_queue_lists_its_runs_only() -> None:
    statements = [each.to_statement_json() for each in to_read_status(["kept", "plain"], TASKS, "test")]
    (query,) = [each for each in statements if each["Action"] == QUERY]
    assert query["Condition"] == {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["pay#*"]}}
    assert QUERY not in str([each.to_statement_json() for each in to_read_status(["plain"], TASKS, "test")])


def test_refused_writes_of_it_are_a_ticket(keeping: Stage) -> None:
    alarms = {each["AlarmName"]: each for each in keeping.work.resources("CloudWatch::Alarm")}
    dimensions = {
        each["Name"]: each["Value"] for each in alarms["celeriac-test--idempotency-runs-table-writes"]["Dimensions"]
    }
    assert dimensions["GlobalSecondaryIndexName"] == names.runs_index()


def test_a_stage_without_a_history_has_nothing_of_it(stage: Stage) -> None:
    assert "GlobalSecondaryIndexes" not in _records(stage)
    assert "index/runs" not in str(stage.state.json)
    assert not [each for each in stage.work.resources("CloudWatch::Alarm") if "-runs-" in each["AlarmName"]]
