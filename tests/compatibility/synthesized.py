"""A project's own command makes its templates, and what of them must stay is picked out."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

STAYS: dict[str, Sequence[str]] = {
    "AWS::DynamoDB::Table": ("TableName", "KeySchema"),
    "AWS::Events::EventBus": ("Name",),
    "AWS::IAM::ManagedPolicy": ("ManagedPolicyName",),
    "AWS::IAM::Role": ("RoleName",),
    "AWS::KMS::Alias": ("AliasName",),
    "AWS::KMS::Key": (),
    "AWS::Lambda::Alias": ("Name",),
    "AWS::Lambda::EventSourceMapping": (),
    "AWS::Lambda::Function": ("FunctionName",),
    "AWS::Logs::LogGroup": ("LogGroupName",),
    "AWS::S3::Bucket": ("BucketName",),
    "AWS::SNS::Topic": ("TopicName",),
    "AWS::SQS::Queue": ("QueueName", "FifoQueue"),
    "AWS::Scheduler::Schedule": ("Name", "GroupName"),
    "AWS::Scheduler::ScheduleGroup": ("Name",),
    "AWS::SecretsManager::Secret": ("Name",),
}
"""The types that keep data, or are looked for by their name, with the properties whose change makes a new resource."""

CONTEXT = {"stage": "prod", "kms": "true", "canary": "true", "aws:cdk:bundling-stacks": []}
"""A stage that keeps its data and has all that a stage can have. The bundle isn't built: that needs a lock file."""

type Stacks = dict[str, dict[str, dict[str, Any]]]
"""By stack and logical id: the type of the resource, and the properties that STAYS names."""


def run_there(project: Path, *words: str, **variables: str) -> str:
    """Run this Python in the project's folder, and return what it prints. Raises RuntimeError with that if it fails.

    The project's tasks come before those of this repository. Celeriac is the one that this process has.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "CDK_", "CELERIAC_", "COV_", "PYTEST_"))
    }
    first = (str(project / "functions"), str(project), *filter(None, [os.environ.get("PYTHONPATH")]))
    path = {"PYTHONPATH": os.pathsep.join(first), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, *words]
    there = kept | path | variables
    done = subprocess.run(command, cwd=project, env=there, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def stacks(project: Path, out: Path) -> Stacks:
    """What must stay of the project's stacks, which its app.py writes to the folder `out`."""
    run_there(project, "app.py", CDK_OUTDIR=str(out), CDK_CONTEXT_JSON=json.dumps(CONTEXT))
    return {
        file.name.removesuffix(".template.json"): _stays(json.loads(file.read_text())["Resources"])
        for file in sorted(out.glob("*.template.json"))
    }


def _stays(resources: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = {}
    for name, resource in sorted(resources.items()):
        kind, properties = resource["Type"], resource.get("Properties", {})
        if kind in STAYS:
            found[name] = {"Type": kind} | {key: properties[key] for key in STAYS[kind] if key in properties}
    return found
