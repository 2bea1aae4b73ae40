"""From a function and its arguments to what a request says: graph, feeds, names of what is asked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import ErrorCode, GraphError, InvalidGraph, ShapeMismatch
from chainrule.ir import trees
from chainrule.ir.avals import Aval, shape_text
from chainrule.tracing import Graph, batch_size, trace
from chainrule.tracing.leaves import rebuild

Array = np.ndarray[Any, np.dtype[Any]]
Function = Callable[..., Any] | Graph
Wrt = int | Sequence[int]


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A function at arguments, ready to be sent.

    Attributes:
        graph: traced, or as given.
        args: the arguments, for the structure of results.
        feeds: arrays by input name, without captures.
        examples: N; 0 where the graph has no batch.
        has_aux: the function gives (value, aux).
    """

    graph: Graph
    args: tuple[Any, ...]
    feeds: dict[str, Array]
    examples: int
    has_aux: bool

    def wrt_names(self, wrt: Wrt) -> tuple[str, ...]:
        """The input leaves of the arguments in `wrt`.

        Raises:
            GraphError: no such argument, or one that has no derivative (NOT_DIFFERENTIABLE).
        """
        return tuple(name for i in self._numbers(wrt) for name in self._float_leaves(i))

    def outs(self) -> tuple[str, ...]:
        """Names of the outputs that make the value, without aux."""
        prefix = self.graph.out_prefixes[0]
        return tuple(n for n in self.graph.out_names if n == prefix or n.startswith(prefix + "/"))

    def scalar_out(self) -> str:
        """The one output that has a gradient.

        Raises:
            GraphError: the function gives no float scalar (BAD_LOSS).
        """
        outs = self.outs()
        aval = self.graph.out_avals[outs[0]] if outs else None
        if len(outs) == 1 and aval is not None and aval.dtype.is_float and not aval.shape:
            return outs[0]
        if len(self.graph.out_prefixes) == 1 and len(outs) > 1:
            told = f"{len(outs)} arrays"
            cure = "return the scalar alone, or (scalar, aux) with has_aux=True"
        else:
            told = f"{aval.dtype.label} of shape {shape_text(aval.shape)}" if aval else "nothing"
            cure = "reduce it to a float scalar (np.sum, np.mean), or ask for client.vjp"
        raise InvalidGraph(
            f"the function gives {told}; a gradient is that of one float scalar",
            code=ErrorCode.BAD_LOSS,
            cure=cure,
        )

    def differentiable(self) -> tuple[int, ...]:
        """Numbers of the arguments that have derivatives.

        Raises:
            GraphError: none has (NOT_DIFFERENTIABLE).
        """
        avals = self.graph.in_avals
        found = []
        for i in range(len(self.args)):
            names, _ = trees.flatten(self.args[i], self._argument(i))
            kinds = [avals[n].dtype.is_float for n in names if n in avals]
            if kinds and all(kinds):
                found.append(i)
        if not found:
            raise GraphError(
                "no argument is an array of floats",
                code=ErrorCode.NOT_DIFFERENTIABLE,
                cure="convert one with .astype(np.float64)",
            )
        return tuple(found)

    def directions(
        self, names: Sequence[str], wrt: Wrt, tree: Any, what: str, many: bool = False
    ) -> dict[str, Array]:
        """Tangents or vectors by input name, from a tree like the arguments in `wrt`.

        With `many` each has a leading axis, the same for all.
        """
        several = not isinstance(wrt, int)
        parts = tuple(tree) if several else (tree,)
        numbers = self._numbers(wrt)
        if len(parts) != len(numbers):
            raise ShapeMismatch(
                f"{len(parts)} {what} for {len(numbers)} arguments",
                code=ErrorCode.BAD_FIELD,
                cure=f"give one of the {what} an argument",
            )
        given: dict[str, Any] = {}
        for i, part in zip(numbers, parts, strict=True):
            given |= dict(zip(*trees.flatten(part, self._argument(i)), strict=True))
        return _like(names, given, self.graph.in_avals, self.examples, what, many)

    def cotangents(self, tree: Any, many: bool = False) -> dict[str, Array]:
        """Cotangents by output name, from a tree like the value; `many` as in `directions`."""
        given = dict(zip(*trees.flatten(tree, self.graph.out_prefixes[0]), strict=True))
        return _like(
            self.float_outs(), given, self.graph.out_avals, self.examples, "cotangents", many
        )

    def float_outs(self) -> tuple[str, ...]:
        """Names of the outputs that have tangents."""
        return tuple(n for n in self.outs() if self.graph.out_avals[n].dtype.is_float)

    def tangent(self, values: Mapping[str, object], tangents: Mapping[str, Array]) -> Any:
        """Tangents by output name with the value's structure; None beside integers."""
        return self.graph.unflatten(
            {n: owned(tangents[n]) if n in tangents else None for n in values}
        )

    def shaped(self, wrt: Wrt, arrays: Mapping[str, Array]) -> Any:
        """Arrays by input name with the structure of the arguments in `wrt`."""
        parts = tuple(self._shaped_one(i, arrays) for i in self._numbers(wrt))
        return parts[0] if isinstance(wrt, int) else parts

    def valued(self, arrays: Mapping[str, Array]) -> Any:
        """The value with its structure: (value, aux) with has_aux."""
        return self.graph.unflatten(arrays)

    def with_aux(self, outputs: Mapping[str, Array]) -> Any:
        """aux alone, from all outputs."""
        value = self.graph.unflatten(outputs)
        return value[1] if len(self.graph.out_prefixes) > 1 else {}

    def _shaped_one(self, i: int, arrays: Mapping[str, Array]) -> Any:
        prefix = self._argument(i)
        names, _ = trees.flatten(self.args[i], prefix)
        return rebuild(self.args[i], [arrays.get(name) for name in names])

    def _numbers(self, wrt: Wrt) -> tuple[int, ...]:
        numbers: tuple[Any, ...]
        numbers = (wrt,) if isinstance(wrt, int | str) else tuple(wrt)
        n = len(self.args)
        for i in numbers:
            if not isinstance(i, int):
                raise GraphError(
                    f"wrt names {i!r}, which is no number of an argument",
                    code=ErrorCode.BAD_FIELD,
                    cure="give the number of an argument, counted from 0, or a tuple of them",
                )
            if not -n <= i < n:
                raise GraphError(
                    f"wrt names argument {i} of {n}",
                    code=ErrorCode.BAD_FIELD,
                    cure="count arguments from 0",
                )
        return tuple(i % n for i in numbers)

    def _argument(self, i: int) -> str:
        return [p for p in self.graph.in_prefixes if not p.startswith("kwargs/")][i]

    def _float_leaves(self, i: int) -> list[str]:
        prefix = self._argument(i)
        avals = self.graph.in_avals
        names = [
            name
            for name, _ in zip(*trees.flatten(self.args[i], prefix), strict=True)
            if name in avals
        ]
        for name in names:
            if not avals[name].dtype.is_float:
                raise GraphError(
                    f"wrt names argument {i}, and {name} is {avals[name].dtype.label}: integers have "
                    "no derivative",
                    code=ErrorCode.NOT_DIFFERENTIABLE,
                    field=name,
                    cure="convert it with .astype(np.float64), or leave it out of wrt",
                )
        if not names:
            raise GraphError(
                f"wrt names argument {i}, which holds no array",
                code=ErrorCode.NOT_DIFFERENTIABLE,
                cure="name an argument with arrays",
            )
        return names


def prepare(
    f: Function,
    args: tuple[Any, ...],
    *,
    kwargs: Mapping[str, Any] | None = None,
    batch: Wrt = (),
    has_aux: bool = False,
) -> Prepared:
    """Traces f at the arguments, or takes the graph that it is, and gathers the feeds.

    Raises:
        TraceError, ShapeMismatch: the function can't be traced, or arguments don't fit it.
    """
    if isinstance(f, Graph):
        graph = f
        numbers = (batch,) if isinstance(batch, int) else tuple(batch)
        if numbers and not graph.batch_axes:
            raise ShapeMismatch(
                "batch= is given, and the graph was traced without a batch",
                code=ErrorCode.BATCH_MISMATCH,
                cure="trace it with cr.trace(f, *args, batch=...)",
            )
    else:
        check_callable(f)
        outputs: str | tuple[str, ...] = ("out", "aux") if has_aux else "out"
        graph = trace(f, *args, kwargs=kwargs, batch=batch, outputs=outputs)
    if has_aux and len(graph.out_prefixes) < 2:
        raise InvalidGraph(
            "has_aux=True, and the function gives one value",
            code=ErrorCode.BAD_LOSS,
            cure="return (value, aux), or leave has_aux out",
        )
    feeds = graph.feeds(args, kwargs)
    examples = batch_size(graph.batch_axes, feeds) or 0
    return Prepared(graph, args, feeds, examples, has_aux)


def check_callable(f: object) -> None:
    """That f is a function.

    Raises:
        GraphError: it isn't.
    """
    if not callable(f):
        raise GraphError(
            f"{type(f).__name__} is no function",
            code=ErrorCode.TRACE,
            cure="pass a function of NumPy code, or a cr.Graph",
        )


def lanes_of(directions: Mapping[str, Array], many: bool) -> int:
    """The leading axis that many directions share; 0 of single ones."""
    return len(next(iter(directions.values()))) if many and directions else 0


def owned(array: Array) -> Any:
    """An array of the caller's own; a NumPy scalar where it has no axis."""
    return array.copy() if array.ndim else array[()]


def _like(
    names: Sequence[str],
    given: Mapping[str, Any],
    avals: Mapping[str, Aval],
    examples: int,
    what: str,
    many: bool,
) -> dict[str, Array]:
    found: dict[str, Array] = {}
    front: tuple[int, ...] = ()
    for name in names:
        if name not in given:
            raise ShapeMismatch(
                f"{what}: {name} is missing",
                code=ErrorCode.MISSING_FIELD,
                field=name,
                cure=f"give {what} of the same structure",
            )
        aval = avals[name].concrete(examples)
        array = np.asarray(given[name], aval.dtype.numpy)
        if many and not found:
            front = array.shape[:1] or (1,)
            if front == (0,):
                raise ShapeMismatch(
                    f"{what}: {name} has none",
                    code=ErrorCode.SHAPE_MISMATCH,
                    field=name,
                    cure=f"give one of the {what} at least",
                )
        if array.shape != (*front, *aval.dims):
            told = "" if not many else " with many=True"
            raise ShapeMismatch(
                f"{what}: {name} has shape {array.shape}, {(*front, *aval.dims)} is needed{told}",
                code=ErrorCode.SHAPE_MISMATCH,
                field=name,
                cure=f"give {what} of the same shapes"
                + (", each with the same leading axis" if many else ""),
            )
        found[name] = array
    return found
