"""Attributes: the static arguments of a node, typed, in a closed set of kinds."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chainrule.errors import ErrorCode, InvalidGraph, UnknownPrimitive
from chainrule.ir.avals import BatchDim, DType

AttrValue = bool | int | float | str | bytes | DType | tuple[int | BatchDim, ...]
Attrs = tuple[tuple[str, AttrValue], ...]

REQUIRED: Any = object()

# Attributes of kind `function`: indices of earlier functions of the graph.
FUNCTION_ATTRS = ("function", "otherwise")


@dataclass(frozen=True, slots=True)
class AttrSpec:
    """One attribute of a signature.

    Attributes:
        name: as written on the wire.
        kind: bool, int, float, str, bytes, dtype, ints (plain integers), dims (may hold k*N),
            function (index of an earlier function of the graph).
        default: the value when it is left out; REQUIRED where it may not be.
        low, high: inclusive range of an int or float.
    """

    name: str
    kind: str
    default: AttrValue = REQUIRED
    low: float = -math.inf
    high: float = math.inf


def _is_kind(value: object, kind: str) -> bool:
    match kind:
        case "bool":
            return isinstance(value, bool)
        case "int" | "function":
            return isinstance(value, int) and not isinstance(value, bool | DType)
        case "float":
            return isinstance(value, float)
        case "str":
            return isinstance(value, str)
        case "bytes":
            return isinstance(value, bytes)
        case "dtype":
            return isinstance(value, DType)
        case "ints":
            return isinstance(value, tuple) and all(type(v) is int for v in value)
        case "dims":
            return isinstance(value, tuple) and all(type(v) in (int, BatchDim) for v in value)
    return False


def complete(op: str, specs: tuple[AttrSpec, ...], given: Mapping[str, AttrValue]) -> Attrs:
    """The attributes of a node in their one form: checked, defaults filled in, sorted by name.

    Raises:
        UnknownPrimitive: an attribute that the signature doesn't have (UNKNOWN_ATTR).
        InvalidGraph: one is missing, of another kind or out of range (ATTR_RANGE).
    """
    known = {spec.name for spec in specs}
    for name in given:
        if name not in known:
            raise UnknownPrimitive(
                f"{op} has no attribute {name[:64]!r}",
                code=ErrorCode.UNKNOWN_ATTR,
                cure=f"it takes {', '.join(sorted(known)) or 'none'}",
            )
    out: list[tuple[str, AttrValue]] = []
    for spec in specs:
        value = given.get(spec.name, spec.default)
        if value is REQUIRED:
            raise InvalidGraph(
                f"{op} lacks its attribute {spec.name!r}",
                code=ErrorCode.ATTR_RANGE,
                cure=f"give {spec.name} ({spec.kind})",
            )
        # Beyond 2^53 an integer would change its value on the way.
        if spec.kind == "float" and type(value) is int and abs(value) <= 2**53:
            value = float(value)
        if not _is_kind(value, spec.kind):
            raise InvalidGraph(
                f"attribute {spec.name} of {op} is {value!r:.64}",
                code=ErrorCode.ATTR_RANGE,
                cure=f"give a value of kind {spec.kind}",
            )
        if isinstance(value, int | float) and not spec.low <= value <= spec.high:
            raise InvalidGraph(
                f"attribute {spec.name} of {op} is {value!r}",
                code=ErrorCode.ATTR_RANGE,
                cure=f"give a value from {spec.low} to {spec.high}",
            )
        out.append((spec.name, value))
    return tuple(sorted(out))


def callees(attrs: Attrs) -> tuple[int, ...]:
    """The functions that a node names."""
    return tuple(v for k, v in attrs if k in FUNCTION_ATTRS and isinstance(v, int))


def renumbered(attrs: Attrs, number: Mapping[int, int]) -> Attrs:
    """The attributes with functions under other indices."""
    if not callees(attrs):
        return attrs
    return tuple(
        (k, number[v] if k in FUNCTION_ATTRS and isinstance(v, int) else v) for k, v in attrs
    )
