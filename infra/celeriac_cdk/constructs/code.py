"""The code of the functions: the bundle of a source, for each architecture and runtime."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from aws_cdk import aws_lambda as lambda_
from constructs import Node

from celeriac_cdk.bundle.build import build_bundle, build_page
from celeriac_cdk.bundle.source import Source
from celeriac_cdk.bundle.target import THIS_MACHINE, Target, on_lambda
from celeriac_cdk.config import StageConfig


def codes(node: Node, source: Source, config: StageConfig) -> Callable[[str, str], lambda_.Code]:
    """The bundle for each architecture and runtime, for one stack: the CDK ties an asset to a stack."""

    @cache
    def code(architecture: str, runtime: str) -> lambda_.Code:
        return lambda_.Code.from_asset(str(_folder(node, source, config, on_lambda(architecture, runtime))))

    return code


def page(node: Node, source: Source, architecture: str, runtime: str) -> Path:
    """Return the folder with the bundle of the operators' page, or the bare package as below."""
    if _bundles_nothing(node):
        return source.package
    return build_page(source, on_lambda(architecture, runtime))


def _folder(node: Node, source: Source, config: StageConfig, target: Target) -> Path:
    """Return the bundle. Commands that deploy nothing, such as `cdk list` and `cdk destroy`, get the bare package."""
    if _bundles_nothing(node):
        return source.package
    return build_bundle(source, THIS_MACHINE if config.local else target)


def _bundles_nothing(node: Node) -> bool:
    """For such commands the CDK's command line puts an empty list of stacks to bundle into the context."""
    return bool(node.try_get_context("aws:cdk:bundling-stacks") == [])
