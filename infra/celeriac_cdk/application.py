"""The types that a team's infra/application.py passes to the stacks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct, Node

from celeriac_cdk.config import StageConfig


@dataclass(frozen=True, slots=True)
class Application:
    """Environment and permissions of the functions that run the application's tasks."""

    environment: Mapping[str, str]
    permissions: Sequence[iam.PolicyStatement]
    wildcards: Mapping[str, str]
    """Resources with a wildcard, and the reason for each. Without a reason the synth of a kept stage fails."""


type BuildState = Callable[[Construct, StageConfig, kms.IKey | None], Construct]
"""The class `ApplicationState`: it builds the application's storage beside its tables."""
type Describe = Callable[[Node, StageConfig], Application]
"""The function `application`: it returns environment and permissions of the tasks."""
