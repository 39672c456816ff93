"""The code of the functions: the bundle of a source, for each architecture."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from aws_cdk import aws_lambda as lambda_
from constructs import Node

from celeriac_cdk.bundle.build import LAMBDA_ARM64, LAMBDA_X86_64, THIS_MACHINE, Target, build_bundle
from celeriac_cdk.config import StageConfig
from celeriac_cdk.declarations.source import Source


def codes(node: Node, source: Source, config: StageConfig) -> Callable[[str], lambda_.Code]:
    """The bundle for each architecture, for one stack: the CDK ties an asset to a stack."""

    @cache
    def code(architecture: str) -> lambda_.Code:
        return lambda_.Code.from_asset(str(_folder(node, source, config, architecture)))

    return code


def _folder(node: Node, source: Source, config: StageConfig, architecture: str) -> Path:
    """Return the bundle. Commands that deploy nothing, such as `cdk list` and `cdk destroy`, get the bare package.

    For these commands the CDK's command line puts an empty list of stacks to bundle into the context.
    """
    if node.try_get_context("aws:cdk:bundling-stacks") == []:
        return source.folder
    on_lambda = LAMBDA_X86_64 if architecture == "x86_64" else LAMBDA_ARM64
    return _build(source, THIS_MACHINE if config.local else on_lambda)


def _build(source: Source, target: Target) -> Path:
    return build_bundle(source.project, target)
