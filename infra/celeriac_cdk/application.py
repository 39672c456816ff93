"""What a team's infra/application.py gives to the stacks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct, Node

from celeriac_cdk.config import StageConfig


@dataclass(frozen=True, slots=True)
class Application:
    """What the functions that run the application's tasks are given."""

    environment: Mapping[str, str]
    permissions: Sequence[iam.PolicyStatement]
    wildcards: Mapping[str, str]
    """Resources among them that hold a wildcard, and why: synth fails for one that nobody has given a reason for."""


type BuildState = Callable[[Construct, StageConfig, kms.IKey | None], Construct]
"""Builds what the application stores beside its tables: the class `ApplicationState`."""
type Describe = Callable[[Node, StageConfig], Application]
"""Says what its tasks are given: the function `application`."""
