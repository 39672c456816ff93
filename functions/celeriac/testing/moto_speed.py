"""Makes moto and botocore faster: work that they repeat with the same result is done once.

That work is half of a sandbox's time. Each patch returns what the original code returns, except for one header that
moto doesn't read, the signature. Nothing else in the test kit changes moto.
"""

import copy
import pickle
import string
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from botocore.auth import SigV4Auth
from moto import backend_index
from moto.core import models, responses, utils
from moto.core.serialize import AttributePickerContext, XFormedAttributePicker
from moto.dynamodb import models as dynamodb
from moto.dynamodb.comparisons import ConditionExpressionParser
from moto.dynamodb.exceptions import TooManyClauses
from moto.dynamodb.models.table import Table
from moto.dynamodb.parsing import validators
from moto.dynamodb.parsing.ast_nodes import DepthFirstTraverser, Node  # type: ignore[attr-defined]
from moto.dynamodb.parsing.expressions import UpdateExpressionParser  # type: ignore[attr-defined]
from moto.moto_api._internal import mock_random
from moto.moto_api._internal.moto_random import MotoRandom
from moto.sqs import models as sqs
from responses import CallbackResponse

# For each call moto converts the operation's name again, and lists all methods of the service.
_camelcase_to_underscores = cache(utils.camelcase_to_underscores)
_method_names_from_class = cache(utils.method_names_from_class)

# Each mock makes 1,300 of these objects again.
_callback_response = cache(CallbackResponse)
# Moto asks all its services in turn whether a request is for them. The services that tasks use are asked first.
_USED = frozenset({"dynamodb", "dynamodbstreams", "events", "scheduler", "sqs"})
_url_patterns = sorted(backend_index.backend_url_patterns, key=lambda pattern: pattern[0] not in _USED)
_get_possible_keys = XFormedAttributePicker.get_possible_keys
_possible_keys: dict[tuple[Any, ...], list[str]] = {}

# `issubclass` is slow with an abstract class.
_is_a: Callable[..., bool] = cache(issubclass)
_make = UpdateExpressionParser.make
_lex = ConditionExpressionParser._lex_condition_expression  # noqa: SLF001 - no public function reads only a condition
_traverse = validators.ActionCountValidator.traverse
_kinds: dict[type, tuple[type, ...]] = {}


@contextmanager
def faster() -> Iterator[None]:
    """Let moto work faster. This relies on calls being made one at a time, see `Calls`."""
    copies: dict[int, Table] = {}
    transact = dynamodb.DynamoDBBackend.transact_write_items

    def deepcopy(value: Any, *rest: Any) -> Any:
        if not isinstance(value, Table):
            return copy.deepcopy(value, *rest)
        if id(value) not in copies:
            copies[id(value)] = copy.deepcopy(value, *rest)
        return copies[id(value)]

    def transact_write_items(backend: dynamodb.DynamoDBBackend, *actions: Any, **named: Any) -> None:
        # Moto copies a table again for each action that writes to it, and makes all copies before it writes anything.
        copies.clear()
        try:
            transact(backend, *actions, **named)
        finally:
            copies.clear()

    with (
        patch.object(dynamodb, "copy", SimpleNamespace(deepcopy=deepcopy)),
        patch.object(dynamodb.DynamoDBBackend, "transact_write_items", transact_write_items),
        patch.object(responses, "camelcase_to_underscores", _camelcase_to_underscores),
        patch.object(responses, "method_names_from_class", _method_names_from_class),
        patch.object(sqs, "camelcase_to_underscores", _camelcase_to_underscores),
        patch.object(models, "CallbackResponse", _callback_response),
        patch.object(backend_index, "backend_url_patterns", _url_patterns),
        patch.object(XFormedAttributePicker, "get_possible_keys", _keys),
        patch.object(MotoRandom, "get_random_string", _random_string),
        patch.object(sqs, "generate_receipt_handle", _receipt_handle),
        patch.object(SigV4Auth, "canonical_request", lambda *_: ""),
        patch.object(SigV4Auth, "signature", lambda *_: "unsigned"),
        # A program has few expressions. For each call moto parses them twice, and walks through an update ten times.
        patch.object(UpdateExpressionParser, "make", _made),
        patch.object(ConditionExpressionParser, "_lex_condition_expression", _lexed_again),
        patch.object(validators, "deepcopy", _copied),
        patch.object(DepthFirstTraverser, "nodes_to_be_processed", _nodes_to_be_processed),
        patch.object(DepthFirstTraverser, "traverse_node_recursively", _traverse_node_recursively),
        patch.object(validators.ActionCountValidator, "traverse", _count_actions),
        # Moto calls this for each message, each time it looks at a queue, and subtracts dates each time.
        patch.object(sqs, "unix_time_millis", unix_time_millis),
    ):
        yield


def unix_time_millis() -> float:
    """Milliseconds since 1970, by the sandbox's clock."""
    return time.time() * 1000.0


def _keys(picker: XFormedAttributePicker, context: AttributePickerContext) -> list[str]:
    """The names under which an object may hold a member of a shape. Moto derives them again for each value."""
    if hasattr(context.obj, "Meta"):
        return list(_get_possible_keys(picker, context))
    shape = context.shape
    case = (type(context.obj), context.key, shape, getattr(shape, "parent", None), *picker.alias_providers)
    if case not in _possible_keys:
        _possible_keys[case] = list(dict.fromkeys(_get_possible_keys(picker, context)))
    return _possible_keys[case]


def _receipt_handle() -> str:
    """A receipt handle as moto makes it, with all letters drawn at once."""
    return "".join(mock_random.choices(string.ascii_lowercase, k=185))


def _random_string(
    random: MotoRandom,
    length: int = 20,
    include_digits: bool = True,  # noqa: FBT001, FBT002 - moto's signature
    lower_case: bool = False,  # noqa: FBT001, FBT002
) -> str:
    """Letters and digits, all drawn at once."""
    drawn = "".join(random.choices(string.ascii_letters + string.digits * include_digits, k=length))
    return drawn.lower() if lower_case else drawn


@cache
def _pickled(expression: str) -> bytes:
    return pickle.dumps(_make(expression))


def _made(expression: str) -> Any:
    """The tree of an update: a new one each time, because moto changes it."""
    return pickle.loads(_pickled(expression))  # noqa: S301 - written above


def _copied(tree: Any) -> Any:
    return pickle.loads(pickle.dumps(tree))  # noqa: S301 - written in the same line


@cache
def _lexed(expression: str | None) -> tuple[Any, ...]:
    return tuple(_lex(ConditionExpressionParser(expression, None, None)))


def _lexed_again(parser: ConditionExpressionParser) -> deque[Any]:
    """The tokens of a condition. Moto takes them out of the queue one by one."""
    return deque(_lexed(parser.condition_expression))


def _nodes_to_be_processed(traverser: DepthFirstTraverser) -> tuple[type, ...]:
    kind = type(traverser)
    if kind not in _kinds:
        _kinds[kind] = tuple(traverser._processing_map())  # noqa: SLF001 - moto has no public way
    return _kinds[kind]


def _traverse_node_recursively(traverser: DepthFirstTraverser, node: Any, child_id: int = -1) -> Any:
    is_told = type(traverser).pre_processing_of_child is not DepthFirstTraverser.pre_processing_of_child
    return _visit(traverser, traverser.nodes_to_be_processed(), node, child_id, is_told=is_told)


def _visit(traverser: DepthFirstTraverser, wanted: tuple[type, ...], node: Any, child_id: int, *, is_told: bool) -> Any:
    """`is_told`: whether the traverser is told of each child beforehand. There are hundreds of visits, few need it."""
    kind = type(node)
    if not _is_a(kind, Node):
        return node
    parent = node.parent
    for i, child in enumerate(node.children or ()):
        if is_told:
            traverser.pre_processing_of_child(node, i)
        _visit(traverser, wanted, child, i, is_told=is_told)
    if _is_a(kind, wanted):
        node = traverser.process(node)
        node.parent = parent
        if parent:
            parent.children[child_id] = node
    return node


def _count_actions(validator: validators.ActionCountValidator, root: Any) -> Any:
    """Count the actions below the root only. Moto counts them below every node."""
    with suppress(TooManyClauses):
        return validator.verify_action_counts(root)
    return _traverse(validator, root)
