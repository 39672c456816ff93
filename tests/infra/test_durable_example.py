"""examples/durable: who may answer a durable function, and what it may send."""

import json
from typing import Any

import pytest

from tests.infra.examples import synthesized
from tests.infra.template import Stack


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    return synthesized("durable", "shop-prod", tmp_path_factory.mktemp("durable"), stage="prod")


def allowing(shop: Stack, action: str) -> list[tuple[str, Any]]:
    """The roles that may do something, and with what."""
    return [(role, allowed["Resource"]) for role, allowed in shop.statements() if action in allowed["Action"]]


def test_the_graph_is_a_durable_function_whose_versions_stay(shop: Stack) -> None:
    (graph,) = [each for each in shop.resources("Lambda::Function") if "DurableConfig" in each]
    assert graph["DurableConfig"]["ExecutionTimeout"] > 7 * 86_400  # the longest of its waits
    (version,) = shop.logical_ids("Lambda::Version")
    assert shop.json["Resources"][version]["DeletionPolicy"] == "Retain"


def test_the_tasks_may_answer_its_executions_and_no_other(shop: Stack) -> None:
    for action in ("lambda:SendDurableExecutionCallbackSuccess", "lambda:SendDurableExecutionCallbackFailure"):
        allowed = allowing(shop, action)
        assert len(allowed) == 2  # the consumers of both queues
        for role, resource in allowed:
            assert "Consumer" in role
            arn, rest = resource["Fn::Join"][1]
            assert arn["Fn::GetAtt"][0].startswith("Graph")
            assert rest == ":*"  # an execution's ARN is that of a version, and goes on


def test_the_graph_may_send_to_both_queues(shop: Stack) -> None:
    sent_to = json.dumps([resource for role, resource in allowing(shop, "sqs:SendMessage") if role.startswith("Graph")])
    assert "shop-prod--lookups" in sent_to
    assert "shop-prod--mail" in sent_to
