"""examples/cdk_app: an application with a network and an API of its own, as its own command synthesizes it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.infra.conftest import ROOT
from tests.infra.examples import synthesized

FLAGS = {
    name: value
    for name, value in json.loads((ROOT / "cdk.json").read_text())["context"].items()
    if name != "@aws-cdk/core:target-partitions"
}


@pytest.mark.parametrize("flags", [{}, FLAGS], ids=["without feature flags", "with all of them"])
def test_the_example_synthesizes_with_any_feature_flags(tmp_path: Path, flags: dict[str, Any]) -> None:
    made = synthesized("cdk_app", "Shop", tmp_path, stage="prod", **flags)

    api = next(each for each in made.resources("Lambda::Function") if each["Handler"] == "shop_tasks.api.handler")
    assert api["Environment"]["Variables"] == {
        "CELERIAC_APPLICATION": "shop",
        "CELERIAC_STAGE": "prod",
        "CELERIAC_TASKS": "shop_tasks",
    }
    consumer = made.named("Lambda::Function", "FunctionName", "shop-prod--receipts")
    assert consumer["VpcConfig"]["SubnetIds"]
    assert consumer["LoggingConfig"] == {"LogGroup": "/aws/lambda/shop-prod--receipts"}
    assert len(made.resources("SQS::Queue")) == 4
    assert len(made.resources("CloudWatch::Alarm")) > 10
    # The rights fit into the policies of a role, however the CDK writes statements.
    assert all(len(json.dumps(each["PolicyDocument"])) < 10_240 for each in made.resources("IAM::Policy"))
