"""The parts of Powertools that celeriac/leases/store.py uses: documented extension points, and a few private names."""

import ast
import inspect
from importlib.metadata import requires

import pytest
from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer
from packaging.requirements import Requirement

from celeriac.leases import store

# https://docs.powertools.aws.dev/lambda/python/latest/utilities/idempotency/#bring-your-own-persistent-store
EXTENSION_POINTS = {"_get_record", "_put_record", "_update_record", "_delete_record"}
PRIVATE = {"_get_key", "_get_expiry_timestamp", "_get_hashed_idempotency_key"}
PUBLIC = {"save_inprogress", "save_success", "configure"}


def _inherited() -> set[str]:
    """The private names that FencedStore uses and doesn't define itself."""
    (cls,) = ast.parse(inspect.getsource(store.FencedStore)).body
    used = {node.attr for node in ast.walk(cls) if isinstance(node, ast.Attribute) and node.attr.startswith("_")}
    return {name for name in used if name not in vars(store.FencedStore)}


def test_the_store_uses_exactly_these_private_names() -> None:
    assert _inherited() == PRIVATE


@pytest.mark.parametrize("name", sorted(EXTENSION_POINTS | PRIVATE | PUBLIC))
def test_powertools_still_has_the_name(name: str) -> None:
    assert callable(getattr(DynamoDBPersistenceLayer, name, None)), (
        f"aws-lambda-powertools no longer has {name}: rewrite celeriac/leases/store.py, then raise its upper bound"
    )


def test_only_extension_points_are_overridden() -> None:
    theirs = set(vars(DynamoDBPersistenceLayer)) | {n for base in DynamoDBPersistenceLayer.__mro__ for n in vars(base)}
    overridden = {name for name in vars(store.FencedStore) if name in theirs and not name.startswith("__")}
    assert overridden - {"_abc_impl"} <= EXTENSION_POINTS


def test_a_new_major_version_of_powertools_is_not_allowed() -> None:
    (found,) = (Requirement(text) for text in requires("celeriac") or () if text.startswith("aws-lambda-powertools"))
    assert "4.0" not in found.specifier
