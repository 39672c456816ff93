"""The stacks of a stage: Celeriac's own two, or a stack of the application that has the construct `Celeriac`."""

from collections.abc import Iterator, Mapping
from typing import Any

from celeriac.aws import client as clients
from celeriac.model import names, settings
from celeriac.model.stages import KMS_OUTPUT
from celeriac_console.doctor.finding import Finding
from celeriac_console.stage.clients import client
from celeriac_console.terminal.next_steps import deploy_it

_WELL = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"}


def stacks() -> Iterator[Finding]:
    """Say how Celeriac's two stacks are. Without them, a stage that has its table is in a stack of another name."""
    found = {name: _described(name) for name in (names.part(settings.stage(), part) for part in ("state", "work"))}
    if not any(found.values()) and _has_table():
        yield Finding(
            "stacks",
            "",
            "the stage is in a stack of the application's own, so the state of that stack isn't checked, and not "
            "whether its key is only prepared",
        )
        return
    for name, stack in found.items():
        if stack is None:
            yield Finding("stack", name, "not deployed", deploy_it())
        else:
            yield from _of_stack(name, stack)


def _described(name: str) -> Mapping[str, Any] | None:
    """The stack, as CloudFormation describes it; None if there is none of this name."""
    formation = client("cloudformation")
    try:
        return formation.describe_stacks(StackName=name)["Stacks"][0]
    except formation.exceptions.ClientError as error:
        if clients.error_code(error) != "ValidationError":
            raise
        return None


def _has_table() -> bool:
    """Whether the stage has the table with the records, which every stage has."""
    dynamodb = clients.client("dynamodb")
    try:
        dynamodb.describe_table(TableName=names.idempotency_table(settings.stage()))
    except dynamodb.exceptions.ResourceNotFoundException:
        return False
    return True


def _of_stack(name: str, stack: Mapping[str, Any]) -> Iterator[Finding]:
    status = stack["StackStatus"]
    cure = None if status in _WELL else f"see its events in CloudFormation, then {deploy_it()}"
    yield Finding("stack", name, status, cure)
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}
    if outputs.get(KMS_OUTPUT) == "prepared":
        yield Finding(
            "key",
            "",
            "prepared: all roles may use it, and nothing is encrypted with it yet. Give CELERIAC_KMS_KEY to "
            f"producers outside the stage, then write kms = true in {settings.FILE}, and {deploy_it()}",
        )
