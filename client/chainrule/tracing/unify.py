"""Tapes of one function at several batch sizes as one sequence of rows with k*N dimensions.

The calls must have taken the same path: row i of every tape is the same operation on the same rows. What may
differ is numbers that depend on the size, and each difference must be one that a graph can say.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chainrule.errors import ErrorCode, TraceError
from chainrule.ir.attrs import AttrValue
from chainrule.ir.avals import Aval, BatchDim
from chainrule.tracing.fits import Fit, fit_array, fit_dim, fit_shape
from chainrule.tracing.source import Source
from chainrule.tracing.tape import Row, Tape

_WHOLE = (
    "loops over the batch and branches on its size can't be traced: compute with the whole "
    "batch (axis=0)"
)


@dataclass(frozen=True, slots=True)
class Unified:
    """One live row of all tapes: attributes hold k*N; a Constant has its fit instead."""

    row: int
    op: str
    inputs: tuple[int, ...]
    attrs: dict[str, AttrValue]
    aval: Aval
    source: Source
    fit: Fit | None = None


def unify(tapes: Sequence[Tape], sizes: Sequence[int]) -> tuple[Unified, ...]:
    """The live rows of one function.

    Args:
        tapes: of the same function by the same path, one a size; a single one where there is no batch.
        sizes: the batch size of each tape.

    Raises:
        TraceError: the function does something that depends on the batch size in a way that no graph can
            say; names the line.
    """
    live = _live(tapes[0])
    columns = zip(*(t.rows for t in tapes), strict=True)
    return tuple(_unify_row(i, rows, sizes) for i, rows in enumerate(columns) if i in live)


def _live(tape: Tape) -> set[int]:
    """Rows that some output needs, and every input."""
    found = {i for i, row in enumerate(tape.rows) if row.op == "Input"}
    todo = list(tape.outputs)
    while todo:
        i = todo.pop()
        if i not in found:
            found.add(i)
            todo.extend(tape.rows[i].inputs)
    return found


def check_same_path(tapes: Sequence[Tape], sizes: Sequence[int]) -> None:
    """Refuse calls that did other operations for other batch sizes, in the function or a body of it.

    Raises:
        TraceError: names the first line that differs.
    """
    for bodies in zip(*(t.bodies for t in tapes), strict=False):
        _check_rows(bodies, sizes)
    _check_rows(tapes, sizes)
    if len({len(t.bodies) for t in tapes}) > 1:
        raise _unlike(
            tapes[0].rows[-1].source,
            f"takes {_listed([len(t.bodies) for t in tapes])} derivatives for batches of "
            f"{_listed(sizes)}",
            _WHOLE,
        )


def _check_rows(tapes: Sequence[Tape], sizes: Sequence[int]) -> None:
    for rows in zip(*(t.rows for t in tapes), strict=False):
        if len({(r.op, r.inputs) for r in rows}) > 1:
            raise _unlike(
                next((r.source for r in rows if r.source.line), rows[0].source),
                f"does other operations for other batch sizes ({_listed([r.op for r in rows])} for "
                f"batches of {_listed(sizes)})",
                _WHOLE,
            )
    lengths = [len(t.rows) for t in tapes]
    if len(set(lengths)) > 1:
        longest = max(tapes, key=lambda t: len(t.rows))
        raise _unlike(
            longest.rows[min(lengths)].source,
            f"does {_listed(lengths)} operations for batches of {_listed(sizes)}",
            _WHOLE,
        )
    if len({(t.outputs, t.output_names) for t in tapes}) > 1:
        raise _unlike(
            tapes[0].rows[tapes[0].outputs[0]].source,
            f"returns other values for other batch sizes ({_listed([len(t.outputs) for t in tapes])} "
            f"for batches of {_listed(sizes)})",
            "return the same tree for every batch",
        )


def _unify_row(index: int, rows: tuple[Row, ...], sizes: Sequence[int]) -> Unified:
    first = rows[0]
    shape = fit_shape([r.aval.dims for r in rows], sizes)
    if shape is None:
        shapes = [str(r.aval.dims) for r in rows]
        raise _unlike(
            first.source,
            f"makes a value of shape {_listed(shapes)} for batches of {_listed(sizes)}, "
            "which is no multiple of the batch size",
            "every axis must be fixed or k times the batch; mask examples with weights instead of cutting",
        )
    fit = None
    if first.op == "Constant":
        fit = fit_array([r.value for r in rows if r.value is not None], sizes)
        if fit is None:
            raise _unlike(
                first.source,
                f"uses a constant that depends on the batch size ({_values(rows)} for batches of "
                f"{_listed(sizes)})",
                "pass it as an argument, or make it from np.arange(n), np.zeros((n, k)) and x.shape[0]",
            )
    attrs = {
        name: _unify_attr(rows, sizes, name, [dict(r.attrs)[name] for r in rows])
        for name, _ in first.attrs
    }
    return Unified(
        index, first.op, first.inputs, attrs, Aval(first.aval.dtype, shape), first.source, fit
    )


def _unify_attr(
    rows: tuple[Row, ...], sizes: Sequence[int], name: str, values: list[Any]
) -> AttrValue:
    first: AttrValue = values[0]
    if all(v == first for v in values):
        return first
    if isinstance(first, tuple) and all(len(v) == len(first) for v in values):
        dims = [fit_dim(column, sizes) for column in zip(*values, strict=True)]
        if None not in dims:
            return tuple(d for d in dims if isinstance(d, int | BatchDim))
    raise _unlike(
        rows[0].source,
        f"has {name} {_listed(values)} in {rows[0].op} for batches of {_listed(sizes)}, "
        "which is no multiple of the batch size",
        "cut and shape a batch axis by multiples of its length only",
    )


def _values(rows: tuple[Row, ...]) -> str:
    texts = []
    for row in rows:
        value = row.value
        texts.append(
            str(value) if value is not None and value.ndim == 0 else f"shape {row.aval.dims}"
        )
    return _listed(texts)


def _listed(values: Sequence[object]) -> str:
    return ", ".join(str(v) for v in values)


def _unlike(source: Source, fact: str, cure: str) -> TraceError:
    return TraceError(
        f"the function {fact}", code=ErrorCode.TRACE, line=source.text or None, cure=cure
    )
