"""The templates that a synth has written, beside those that are deployed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from celeriac.aws.client import error_code
from celeriac.model import names, settings
from celeriac_console.plan.changes import Template, warnings
from celeriac_console.stage.clients import client
from celeriac_console.terminal.errors import UserError


def plan(assembly: Path) -> Iterator[tuple[str, list[str]]]:
    """The name of each stack of the stage that is deployed in this region, and what its next deploy would lose.

    assembly: the folder that a synth has written. Raises UserError if it has no stack of the stage.
    """
    here = client("cloudformation").meta.region_name
    found = False
    for name, region, template in _stacks(assembly):
        found = True
        if region in {here, "unknown-region"} and (before := _deployed(name)) is not None:
            yield name, list(warnings(before, json.loads(template.read_text())))
    if not found:
        stage = settings.stage()
        raise UserError(f"{assembly} has no stack of the stage {stage}: make synth STAGE={stage}")


def _stacks(assembly: Path) -> Iterator[tuple[str, str, Path]]:
    try:
        artifacts = json.loads((assembly / "manifest.json").read_text())["artifacts"]
    except FileNotFoundError:
        return
    for artifact in artifacts.values():
        if artifact["type"] != "aws:cloudformation:stack":
            continue
        template = artifact["properties"]["templateFile"]
        name = artifact["properties"].get("stackName") or template.removesuffix(".template.json")
        if name.startswith(names.start(settings.stage())):
            yield name, artifact["environment"].rpartition("/")[2], assembly / template


def _deployed(name: str) -> Template | None:
    cloudformation = client("cloudformation")
    try:
        body: Any = cloudformation.get_template(StackName=name)["TemplateBody"]
    except cloudformation.exceptions.ClientError as error:
        if error_code(error) == "ValidationError":
            return None
        raise
    found: Template = body if isinstance(body, dict) else json.loads(body)
    return found
