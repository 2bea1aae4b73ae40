"""`trace`: an ordinary NumPy function becomes a graph."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from chainrule.errors import ErrorCode, ShapeMismatch, TraceError
from chainrule.ir.avals import Aval, BatchDim, DType
from chainrule.tracing.build import build_graph
from chainrule.tracing.graph import Graph, batch_size
from chainrule.tracing.leaves import leaves_of, rebuild
from chainrule.tracing.operands import as_tracer
from chainrule.tracing.spec import Spec, leaf_aval
from chainrule.tracing.tape import Tape, recording
from chainrule.tracing.tracer import Tracer


def trace(
    f: Callable[..., Any],
    *args: Any,
    kwargs: Mapping[str, Any] | None = None,
    batch: int | Sequence[int] = (),
    inputs: Sequence[str] | None = None,
    outputs: str | Sequence[str] = "out",
) -> Graph:
    """The graph of f at arguments of these shapes; their numbers are not looked at.

    With a batch (batch=, or specs with a batch_axis) f is called at three batch sizes and the graph serves
    every size; otherwise it is called once.

    Args:
        f: NumPy code. It may close over arrays; those above 1 KiB become inputs bound by digest.
        args: arrays, numbers, `cr.spec`s, and trees of them; strings, None, bools and callables are static.
        kwargs: keyword arguments of f, traced like args.
        batch: numbers of the arguments whose arrays have the batch as leading axis.
        inputs: the name of each argument; `args/0`, `args/1`, ... by default.
        outputs: the name of the result; or names of the parts of a tuple that f returns, as
            ("out", "aux"): fewer parts take the first names.

    Raises:
        TraceError: f does something that can't be traced; names the line and the cure.
        ShapeMismatch: shapes inside f don't fit, or batch arguments differ in length.
    """
    prefixes = list(inputs) if inputs is not None else [f"args/{i}" for i in range(len(args))]
    numbers = (batch,) if isinstance(batch, int) else tuple(batch)
    _check_counts(len(args), len(prefixes), numbers)
    keywords = dict(kwargs or {})
    arguments = {
        p: (arg, i in numbers) for i, (p, arg) in enumerate(zip(prefixes, args, strict=True))
    }
    arguments |= {f"kwargs/{k}": (arg, False) for k, arg in keywords.items()}
    avals = _leaf_avals(arguments)
    sizes = _sizes(tuple(avals.values()))
    out_prefixes = (outputs,) if isinstance(outputs, str) else tuple(outputs)
    tapes = []
    parts: tuple[str, ...] = out_prefixes
    for n in sizes or (None,):
        tape = Tape(n=n)
        tape.name = getattr(f, "__name__", "main").strip("<>") or "main"
        with recording(tape):
            given = {p: _traced_tree(tape, arg, p, avals, n) for p, (arg, _) in arguments.items()}
            try:
                result = f(
                    *(given[p] for p in prefixes), **{k: given[f"kwargs/{k}"] for k in keywords}
                )
            except ShapeMismatch as error:
                if n is not None:
                    # The user's batch has another size than the shapes in the text.
                    error.fact += f" (while tracing with a batch of {n})"
                raise
            parts = _finish(tape, result, out_prefixes, isinstance(outputs, str))
        tapes.append(tape)
    graph, captures = build_graph(tapes, sizes or (1,))
    notices = tuple(tapes[0].notices.values())
    return Graph(graph, captures, notices, tuple(arguments), parts)


def _check_counts(n_args: int, n_names: int, batch: Sequence[int]) -> None:
    if n_names != n_args:
        raise ShapeMismatch(f"{n_names} names for {n_args} arguments", code=ErrorCode.BAD_FIELD)
    for i in batch:
        if not 0 <= i < n_args:
            raise ShapeMismatch(
                f"batch names argument {i} of {n_args}",
                code=ErrorCode.BATCH_MISMATCH,
                cure="count arguments from 0",
            )


def _leaf_avals(arguments: Mapping[str, tuple[Any, bool]]) -> dict[str, Aval]:
    """The aval of every leaf that is no static value, by name."""
    avals: dict[str, Aval] = {}
    arrays: dict[str, Any] = {}
    for prefix, (arg, batched) in arguments.items():
        for name, leaf in leaves_of(arg, prefix):
            aval = leaf_aval(leaf, name, batched)
            if aval is not None:
                avals[name] = aval
                if hasattr(leaf, "shape") and not isinstance(leaf, Spec):
                    arrays[name] = leaf
    axes = {
        name: axis
        for name, aval in avals.items()
        for axis, dim in enumerate(aval.shape)
        if isinstance(dim, BatchDim)
    }
    batch_size(axes, arrays)
    return avals


def _primes() -> Iterator[int]:
    return (p for p in itertools.count(5, 2) if all(p % q for q in range(3, p, 2)))


def _sizes(avals: Sequence[Aval]) -> tuple[int, ...]:
    """Three batch sizes, primes that divide no fixed dimension, so that no axis fits by accident."""
    if not any(a.is_batched for a in avals):
        return ()
    fixed = {d for a in avals for d in a.shape if isinstance(d, int) and d > 1}
    good = (p for p in _primes() if all(d % p for d in fixed))
    return tuple(itertools.islice(good, 3))


def _traced_tree(
    tape: Tape, tree: Any, prefix: str, avals: Mapping[str, Aval], n: int | None
) -> Any:
    """The argument with inputs of the tape for its arrays; static leaves stay."""
    return rebuild(
        tree,
        [
            _argument(tape, name, avals[name].concrete(n or 1)) if name in avals else leaf
            for name, leaf in leaves_of(tree, prefix)
        ],
    )


def _argument(tape: Tape, name: str, aval: Aval) -> Tracer:
    tracer = Tracer(tape, tape.input(name, aval))
    if aval.dtype is DType.FLOAT16:
        # 16-bit floats are for storage; the function computes in float32.
        return as_tracer(tracer, DType.FLOAT32)
    return tracer


def _finish(tape: Tape, result: Any, prefixes: tuple[str, ...], whole: bool) -> tuple[str, ...]:
    """Bind the result to output names; the prefixes that it uses."""
    parts: tuple[Any, ...] = (result,)
    if not whole and isinstance(result, tuple):
        parts = result
    if len(parts) > len(prefixes):
        raise TraceError(
            f"the function returns {len(parts)} values, {len(prefixes)} are expected "
            f"({', '.join(prefixes)})",
            code=ErrorCode.TRACE,
            cure="return a tuple of those parts",
        )
    names: list[str] = []
    rows: list[int] = []
    for prefix, part in zip(prefixes, parts, strict=False):
        for name, leaf in leaves_of(part, prefix):
            names.append(name)
            rows.append(tape.lift(as_tracer(leaf)))
    if not names:
        raise TraceError(
            "the function returns nothing",
            code=ErrorCode.TRACE,
            cure="return an array or a tree of arrays",
        )
    tape.outputs, tape.output_names = tuple(rows), tuple(names)
    return prefixes[: len(parts)]
