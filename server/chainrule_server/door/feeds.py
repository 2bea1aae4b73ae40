"""Feeds against the inputs of a graph, and the batch size read off them; nothing is computed before."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from chainrule.errors import ErrorCode, GraphError, ShapeMismatch
from chainrule.ir.avals import Aval, BatchDim
from chainrule.ir.names import closest
from chainrule.ir.tensors import aval_of

Array = np.ndarray[Any, np.dtype[Any]]
CAPTURE = "capture/"


def bind(
    inputs: Mapping[str, Aval],
    feeds: Mapping[str, Array],
    fetch: Callable[[bytes], Array],
    examples: int = 0,
) -> tuple[dict[str, Array], int]:
    """An array for every input, and N (1 where nothing is batched).

    Args:
        inputs: avals by name; `capture/<hex>` without a feed is fetched.
        feeds: what the call sent, and what the server adds.
        fetch: gives an object, or raises OBJECT_MISSING.
        examples: N as the call names it; 0: read off the feeds.

    Raises:
        GraphError: a feed without input (BAD_FIELD) or an input without feed (MISSING_FIELD).
        ShapeMismatch: another aval than the input's; lengths that differ (BATCH_MISMATCH).
    """
    for name in feeds:
        if name not in inputs:
            near = closest(name, inputs)
            raise GraphError(
                f"the graph has no input {name}",
                code=ErrorCode.BAD_FIELD,
                field=f"feeds {name}",
                cure=f"did you mean {near}?" if near else "send the inputs that the graph names",
            )
    bound: dict[str, Array] = {}
    sizes: dict[int, str] = {examples: "examples"} if examples else {}
    for name, aval in inputs.items():
        array = feeds.get(name)
        if array is None:
            array = _captured(name, aval, fetch)
        for n in examples_of(name, aval, aval_of(array)):
            sizes.setdefault(n, name)
        bound[name] = array
    return bound, batch_size(sizes)


def batch_size(sizes: Mapping[int, str]) -> int:
    """The one N among sizes, each with the name it was read off.

    Raises:
        ShapeMismatch: BATCH_MISMATCH.
    """
    if len(sizes) > 1:
        listed = ", ".join(f"{name} has {n}" for n, name in sorted(sizes.items())[:4])
        raise ShapeMismatch(
            f"numbers of examples differ: {listed}",
            code=ErrorCode.BATCH_MISMATCH,
            cure="give all inputs of a batch the same leading length",
        )
    n = next(iter(sizes), 1)
    if n < 1:
        raise ShapeMismatch(
            "a batch without examples",
            code=ErrorCode.BATCH_MISMATCH,
            cure="send at least one example",
        )
    return n


def examples_of(name: str, aval: Aval, given: Aval) -> set[int]:
    """Every N that an array would mean for its input; empty where the input has no batch axis.

    Raises:
        ShapeMismatch: DTYPE_MISMATCH or SHAPE_MISMATCH.
    """
    if given.dtype is not aval.dtype:
        raise ShapeMismatch(
            f"{name} is {given.dtype.label}, the graph takes {aval.dtype.label}",
            code=ErrorCode.DTYPE_MISMATCH,
            field=f"feeds {name}",
            cure=f"convert it with .astype({aval.dtype.label!r})",
        )
    found: set[int] = set()
    fits = given.rank == aval.rank
    for dim, size in zip(aval.shape, given.dims, strict=False):
        if isinstance(dim, BatchDim):
            fits = fits and size % dim.k == 0
            found.add(size // dim.k)
        else:
            fits = fits and dim == size
    if not fits:
        raise ShapeMismatch(
            f"{name} is {given}, the graph takes {aval}",
            code=ErrorCode.SHAPE_MISMATCH,
            field=f"feeds {name}",
            cure="send the shape it was traced for, or trace it again for this one",
        )
    return found


def _captured(name: str, aval: Aval, fetch: Callable[[bytes], Array]) -> Array:
    if name.startswith(CAPTURE):
        try:
            digest = bytes.fromhex(name.removeprefix(CAPTURE))
        except ValueError:
            digest = b""
        if len(digest) == 32:
            return fetch(digest)
    raise GraphError(
        f"the input {name} ({aval}) is missing",
        code=ErrorCode.MISSING_FIELD,
        field="feeds",
        cure="send every input of the graph",
    )
