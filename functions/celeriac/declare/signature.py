"""A task's signature as the schema of its payload."""

import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, NamedTuple

import msgspec

from celeriac.declare.context import Context
from celeriac.leases.argument_hashes import ArgumentHashes
from celeriac.model import canonical, celery_names
from celeriac.model.errors import CeleriacError, DeclarationError
from celeriac.model.pydantic_types import from_json, known
from celeriac.model.values import difference, is_said, to_json

# Types whose values have one text each.
_TEXTS = frozenset({str, int, bool})


class SignatureError(DeclarationError):
    """A function whose signature can't be the schema of a JSON payload."""


class KeyText(NamedTuple):
    """The text of a key parameter's value; empty for a value that says nothing, such as None or an empty list."""

    text: str
    former: str
    """The text that releases without a canonical form made of this value."""


class InvalidArgumentsError(CeleriacError, TypeError):
    """Arguments that don't fit the task's signature; the message names the field."""


class UnknownArgumentError(InvalidArgumentsError):
    """An argument that is no parameter of the task. A newer release may know it."""


class Signature:
    """Reads, checks and writes the arguments of one function.

    Raises SignatureError if the function takes `*args`, `**kwargs` or positional-only parameters, or if the type of a
    parameter can't be read from JSON.
    """

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self._task = name
        self._written = getattr(function, "__name__", name)
        parameters = list(inspect.signature(function).parameters.values())
        hints = typing.get_type_hints(function, include_extras=True)
        if any(_mentions_context(hints.get(parameter.name)) for parameter in parameters[1:]) or (
            parameters and _mentions_context(hints.get(parameters[0].name)) and not _is_context(parameters[0], hints)
        ):
            raise SignatureError(f"task {name!r}: the context must be its first parameter, of the type Context")
        self._hints = hints
        self._returns = hints.get("return", Any)
        self.takes_context = bool(parameters) and _is_context(parameters[0], hints)
        fields = parameters[1:] if self.takes_context else parameters
        for parameter in fields:
            if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                raise SignatureError(
                    f"task {name!r}: {parameter} can't be filled from a JSON object; name each parameter"
                )
        self.fields = tuple(parameter.name for parameter in fields)
        self._names = frozenset(self.fields)
        self._required = frozenset(parameter.name for parameter in fields if parameter.default is parameter.empty)
        self._bind = inspect.Signature(fields)
        try:
            # A missing field stays UNSET, so that the function's own default applies. Python evaluates it only once.
            schema = msgspec.defstruct(
                "args",
                [
                    (p.name, hints.get(p.name, Any))
                    if p.default is p.empty
                    else (p.name, hints.get(p.name, Any) | msgspec.UnsetType, msgspec.UNSET)
                    for p in fields
                ],
                kw_only=True,
                forbid_unknown_fields=True,
            )
            self._decoder = msgspec.json.Decoder(schema, dec_hook=from_json)
            # Only this call visits nested types that need the hook.
            msgspec.json.schema(schema, schema_hook=known)
        except TypeError as error:
            raise SignatureError(f"task {name!r}: its parameters can't be read from JSON: {error}") from error

    @property
    def types(self) -> dict[str, Any]:
        """The annotation of each field; Any for a field without one."""
        return {field: self._hints.get(field, Any) for field in self.fields}

    def is_required(self, field: str) -> bool:
        """Whether a message must have the field."""
        return field in self._required

    @cached_property
    def is_plain(self) -> bool:
        """Whether reading the arguments runs no code of the user's, and no regular expression."""
        return all(_is_plain(self._hints.get(field, Any)) for field in self.fields)

    def default(self, field: str) -> object:
        """The value of a field that a message leaves out; None if the field has no default."""
        default = self._bind.parameters[field].default
        return None if default is inspect.Parameter.empty else default

    def named(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a call, each under its parameter's name. Raises InvalidArgumentsError."""
        if not args and self._required <= kwargs.keys() <= self._names:
            # As below, at a third of the time.
            return {name: kwargs[name] for name in self.fields if name in kwargs}
        unknown = [name for name in kwargs if name not in self._names]
        if unknown:
            cures = celery_names.cures(unknown, celery_names.SENDING, self._written)
            cure = f"; {cures}" if cures else self._nearest(unknown[0])
            raise InvalidArgumentsError(f'task {self._task!r}: no parameter "{unknown[0]}"{cure}')
        try:
            return self._bind.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise InvalidArgumentsError(f"task {self._task!r}: {error}") from error

    def _nearest(self, name: str) -> str:
        from difflib import get_close_matches  # noqa: PLC0415 - needed only after a mistake

        close = get_close_matches(name, self.fields, n=1, cutoff=0.5)
        return f": did you mean {close[0]}?" if close else f"; it has {', '.join(self.fields) or 'none'}"

    def encode(self, arguments: Mapping[str, Any]) -> tuple[bytes, dict[str, Any]]:
        """`arguments` as JSON, and as the task will receive them: 5 for a `float` arrives as 5.0.

        Raises InvalidArgumentsError if the task would receive other values than these.
        """
        try:
            raw = msgspec.json.encode(arguments, enc_hook=to_json)
        except Exception as error:  # the code of a user's model may raise anything
            raise InvalidArgumentsError(f"task {self._task!r}: {_unwritable(arguments, error)}") from error
        try:
            arrived = self.decode(raw)
        except InvalidArgumentsError as error:
            # The error shows the value in the JSON, which the caller hasn't passed: null for nan, a text for a Decimal.
            self._compare(arguments, arguments)
            if ", got `" in str(error):
                self._compare(arguments, msgspec.json.decode(raw), at=str(error))
            raise
        self._compare(arguments, arrived)
        return raw, arrived

    def encode_some(self, arguments: Mapping[str, Any]) -> tuple[bytes, dict[str, Any]]:
        """The same for arguments of which others are yet to come: each is checked alone."""
        try:
            raw = msgspec.json.encode(arguments, enc_hook=to_json)
        except Exception as error:  # the code of a user's model may raise anything
            raise InvalidArgumentsError(f"task {self._task!r}: {_unwritable(arguments, error)}") from error
        arrived = {}
        for name, plain in msgspec.json.decode(raw).items():
            try:
                arrived[name] = self.arrived(name, plain)
            except InvalidArgumentsError as error:
                raise InvalidArgumentsError(f"{error} - at `{name}`") from error
        self._compare(arguments, arrived)
        return raw, arrived

    def _compare(self, arguments: Mapping[str, Any], arrived: Mapping[str, Any], *, at: str | None = None) -> None:
        """Raise InvalidArgumentsError for an argument that differs. With `at`, only for one at the place it names."""
        for name, value in arguments.items():
            if is_said(value, arrived[name]) or (found := difference(name, value, arrived[name])) is None:
                continue
            if at is None or f"at {found.place}" in at:
                raise InvalidArgumentsError(f"task {self._task!r}: {found.problem}: {found.cure}")

    def decode(self, raw: bytes | msgspec.Raw) -> dict[str, Any]:
        """The arguments to call the task with. Raises InvalidArgumentsError, naming the field."""
        try:
            args = self._decoder.decode(raw)
        except Exception as error:  # a validator of the user's may raise anything
            kind = UnknownArgumentError if _is_unknown_field(error) else InvalidArgumentsError
            raise kind(f"task {self._task!r}: {_readable(error)}{self._cure(bytes(raw)[:1])}") from error
        return {name: value for name in self.fields if (value := getattr(args, name)) is not msgspec.UNSET}

    def arrived(self, field: str, plain: object) -> object:
        """The value of one parameter, given as JSON types, as the consumer reads it. Raises InvalidArgumentsError."""
        try:
            return msgspec.convert(
                plain, self._hints.get(field, Any), builtin_types=(), str_keys=True, dec_hook=from_json
            )
        except Exception as error:  # a validator of the user's may raise anything
            raise InvalidArgumentsError(f"task {self._task!r}: {_readable(error)}") from error

    def key(self, field: str, value: object) -> KeyText:
        """The text of a key parameter's value, which has arrived or is the default. Raises InvalidArgumentsError."""
        if type(value) in _TEXTS:
            return KeyText(str(value), str(value))
        try:
            came, form = canonical.unordered(value), canonical.plain(value)
            # A float that is a whole number is the int, unless the annotation makes a float of every number.
            if (whole := canonical.whole(form)) is not form and str(whole) != str(form):
                form = self._again(field, whole)
            former = "" if came in (None, "") else str(came)
            return KeyText("" if canonical.is_nothing(form) else str(form), former)
        except Exception as error:  # the code of a user's model may raise anything
            raise InvalidArgumentsError(f"task {self._task!r}: its key can't be written as JSON: {error}") from error

    def _again(self, field: str, whole: object) -> object:
        try:
            return canonical.plain(self.arrived(field, whole))
        except InvalidArgumentsError:
            return whole  # a default that doesn't fit its own annotation

    @property
    def returns(self) -> Any:
        """The annotation of the result; Any without one."""
        return self._returns

    def hashes(self, raw: bytes | msgspec.Raw, arguments: Mapping[str, Any]) -> ArgumentHashes | None:
        """The hashes of arguments, given as they were sent and as they arrived. None if a value has no JSON form."""
        try:
            sent = msgspec.json.decode(raw)
            left_out = {field: self.default(field) for field in self.fields if field not in arguments}
            # Most arguments arrive as they were sent, and needn't be walked.
            arrived = sent if arguments == sent else canonical.plain(arguments)
            hashed = canonical.hashed(sent)
            if arrived is sent and not left_out:
                return ArgumentHashes(hashed, hashed)
            return ArgumentHashes(hashed, canonical.hashed(arrived | canonical.plain(left_out)))
        except Exception:  # noqa: BLE001 - a model's own code may raise anything; the task runs without hashes too
            return None

    @property
    def returns_nothing(self) -> bool:
        """Whether the function is annotated to return None."""
        return self._returns is type(None)

    def result(self, plain: object) -> Any:
        """A result, stored as JSON types, as the annotated return type.

        The result is returned as it is if there is no annotation, or if the type can't be read from JSON. Raises
        InvalidArgumentsError for a result that the type can't hold, such as a result of an older release.
        """
        if self._returns is Any:
            return plain
        try:
            msgspec.json.schema(self._returns, schema_hook=known)
        except (TypeError, ValueError):
            return plain  # a type that can't be read from JSON
        try:
            return msgspec.convert(plain, self._returns, builtin_types=(), str_keys=True, dec_hook=from_json)
        except Exception as error:  # a validator of the user's may raise anything
            raise InvalidArgumentsError(f"task {self._task!r}: its result: {_readable(error)}") from error

    def _cure(self, begin: bytes) -> str:
        """The cure for arguments that aren't a JSON object, as the end of an error message."""
        if begin == b'"':
            return ": args is a text; where it holds JSON, send the object itself"
        if begin == b"[" and self.fields:
            return f': args has names, write an object such as {{"{self.fields[0]}": ...}}'
        return ""

    def pick(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of an event that are the task's parameters. A publisher may add fields without breaking tasks."""
        return {name: data[name] for name in self.fields if name in data}


def _unwritable(arguments: Mapping[str, Any], error: Exception) -> str:
    """Which argument has no JSON form, and why not."""
    for name, value in arguments.items():
        try:
            msgspec.json.encode(value, enc_hook=to_json)
        except UnicodeEncodeError:
            return (
                f"`{name}` can't be written as JSON: it holds half of a surrogate pair, a text cut inside a character"
            )
        except Exception as its:  # noqa: BLE001 - the code of a user's model may raise anything
            return f"`{name}` can't be written as JSON: {its}"
    return f"its arguments can't be written as JSON: {error}"


_PLAIN = frozenset({Any, bool, int, float, str, bytes, None, type(None), list, dict, tuple, set, frozenset})


def _is_plain(hint: Any) -> bool:
    origin = typing.get_origin(hint)
    if origin is None:
        return hint in _PLAIN
    return origin in {list, dict, tuple, set, frozenset, typing.Union, types.UnionType} and all(
        argument is ... or _is_plain(argument) for argument in typing.get_args(hint)
    )


def _is_context(parameter: inspect.Parameter, hints: dict[str, Any]) -> bool:
    return hints.get(parameter.name) is Context or (parameter.name == "ctx" and parameter.name not in hints)


def _mentions_context(hint: Any) -> bool:
    return hint is Context or Context in typing.get_args(hint)


def _readable(error: BaseException) -> str:
    """Msgspec writes "Expected `int`, got `str` - at `$.user_id`": the caller knows the field as "user_id"."""
    return str(error).replace("`$.", "`").replace("Object", "The payload")


def _is_unknown_field(error: Exception) -> bool:
    """Whether the payload itself has a field too many. Deeper ones have a place: "... - at `$.address`"."""
    return (
        isinstance(error, msgspec.ValidationError)
        and re.fullmatch(r"Object contains unknown field `[^`]*`", str(error)) is not None
    )
