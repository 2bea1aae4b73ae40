"""Requests of many derivatives at once: Jacobian, Hessian, a gradient an example, many seeds.

    Jacobian      rows  ct -> vjp(f)(x)(ct)  or columns  t -> jvp(f)(x)(t)  over unit vectors, whichever
                  counts fewer operations
    Hessian       t -> jvp(grad f)(x)(t) over unit vectors
    per example   vmap over the examples of grad f for a batch of one
    many seeds    the vjp, jvp or hvp over lanes of its seeds

The forward pass, and for a Hessian the gradient, runs once: it depends on no seed.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import cast

import numpy as np

from chainrule.errors import ErrorCode, InvalidGraph, ShapeMismatch
from chainrule.ir.attrs import Attrs
from chainrule.ir.avals import Aval, BatchDim, Dim, DType
from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr, reshape, transpose
from chainrule.ir.graph import Function
from chainrule_server.engine.autodiff import jvp, vjp
from chainrule_server.engine.batching import vmap
from chainrule_server.engine.flat import Flat, finish, inline, tail
from chainrule_server.engine.linear import Parts, cut
from chainrule_server.engine.specialise import specialise, specialise_all
from chainrule_server.engine.sweep import Seeds, given, measured, sweep, units

Pairs = dict[tuple[int, int], Expr]


def jacobian(
    b: Builder, flat: Flat, primals: Sequence[int], wrt: Sequence[int], outs: Sequence[int]
) -> Pairs:
    """d out / d in for each output and input, axes of the output first.

    Raises:
        ShapeMismatch: both have the batch, so that there would be N x N blocks (BATCH_MISMATCH).
    """
    f = flat.function
    ins, ends = [f.in_avals[i] for i in wrt], [f.out_avals[k] for k in outs]
    modes = {}
    if not any(a.is_batched for a in ins):
        modes["forward"] = _cut_jvp(flat, wrt, outs)
    if not any(a.is_batched for a in ends):
        modes["reverse"] = _cut_vjp(flat, wrt, outs)
    if not modes:
        raise ShapeMismatch(
            "the Jacobian of values that have the batch by inputs that have it",
            code=ErrorCode.BATCH_MISMATCH,
            cure="leave batch= out, or ask for per-example gradients",
        )
    mode = min(modes, key=lambda m: _flops(modes[m], ins if m == "forward" else ends))
    rows = inline(b, modes[mode].forward, primals)
    stacked = sweep(b, modes[mode].linear, rows, units(b, ins if mode == "forward" else ends))
    return _columns(stacked, ins, ends) if mode == "forward" else _rows(stacked, ins, ends)


def hessian(b: Builder, flat: Flat, primals: Sequence[int], wrt: Sequence[int], loss: int) -> Pairs:
    """The second derivatives of a scalar by each pair of inputs.

    Raises:
        ShapeMismatch: an input has the batch (BATCH_MISMATCH).
    """
    gradient = gradient_of(flat, wrt, loss)
    return jacobian(b, gradient, primals, wrt, range(len(wrt)))


def per_example(
    b: Builder, flat: Flat, primals: Sequence[int], wrt: Sequence[int], loss: int
) -> list[Expr]:
    """A gradient an example, stacked: row i is that of the loss of the batch x[i:i+1].

    Raises:
        ShapeMismatch: nothing has a batch (BATCH_MISMATCH).
    """
    axes = [_batch_axis(a) for a in flat.function.in_avals]
    if all(axis is None for axis in axes):
        raise ShapeMismatch(
            "a gradient an example, and the graph has no batch",
            code=ErrorCode.BATCH_MISMATCH,
            cure="name the batch arguments with batch=",
        )
    lanes = vmap(gradient_of(_of_one(flat), wrt, loss), axes, BatchDim(1))
    rows = [
        row if axis is None else _lane_axis(Expr(b, row), axis).id
        for row, axis in zip(primals, axes, strict=True)
    ]
    return [Expr(b, row) for row in inline(b, lanes, rows)]


def many_vjp(
    b: Builder,
    flat: Flat,
    primals: Sequence[int],
    wrt: Sequence[int],
    outs: Sequence[int],
    seeds: Seeds,
) -> list[Expr]:
    """Cotangents of inputs for many cotangents of outputs."""
    parts = _cut_vjp(flat, wrt, outs)
    return sweep(b, parts.linear, inline(b, parts.forward, primals), seeds)


def many_jvp(
    b: Builder,
    flat: Flat,
    primals: Sequence[int],
    wrt: Sequence[int],
    outs: Sequence[int],
    seeds: Seeds,
) -> list[Expr]:
    """Tangents of outputs for many tangents of inputs."""
    parts = _cut_jvp(flat, wrt, outs)
    return sweep(b, parts.linear, inline(b, parts.forward, primals), seeds)


def stacked(b: Builder, rows: Sequence[int], count: int) -> Seeds:
    """Seeds that are inputs with a leading axis."""
    return given([Expr(b, row) for row in rows], count)


def gradient_of(flat: Flat, wrt: Sequence[int], loss: int) -> Flat:
    """x -> the gradient of one scalar output."""
    back = tail(vjp(flat, wrt, (loss,)), len(flat.function.outputs))
    b = Builder()
    f = flat.function
    rows = [b.input(n, a) for n, a in zip(f.input_names, f.in_avals, strict=True)]
    one = b.constant(1, f.out_avals[loss].dtype)
    found = inline(b, back, [*rows, one])
    return finish(b, found, [f"grad/{k}" for k in range(len(found))], "gradient")


def check_wrt(function: Function, wrt: Sequence[int], outs: Sequence[int]) -> None:
    """Refuse what has no derivative, and what is named twice.

    Raises:
        InvalidGraph: NOT_DIFFERENTIABLE or ATTR_RANGE.
    """
    named = [(function.input_names[i], function.in_avals[i]) for i in wrt]
    ends = [(function.output_names[k], function.out_avals[k]) for k in outs]
    for group in (named, ends):
        if not group:
            raise InvalidGraph(
                "a derivative, and there is no array of floats on one of its sides",
                code=ErrorCode.NOT_DIFFERENTIABLE,
                cure="convert one to a floating-point dtype",
            )
        names = [name for name, _ in group]
        for name, aval in group:
            if not aval.dtype.is_float:
                raise InvalidGraph(
                    f"a derivative of or by {name[:64]}, which is {aval}",
                    code=ErrorCode.NOT_DIFFERENTIABLE,
                    cure="name floating-point values only",
                )
            if names.count(name) > 1:
                raise InvalidGraph(
                    f"{name[:64]} is named twice", code=ErrorCode.ATTR_RANGE, cure="name it once"
                )


def _cut_vjp(flat: Flat, wrt: Sequence[int], outs: Sequence[int]) -> Parts:
    back = tail(vjp(flat, wrt, outs), len(flat.function.outputs))
    return cut(back, flat.function.n_inputs, 0)


def _cut_jvp(flat: Flat, wrt: Sequence[int], outs: Sequence[int]) -> Parts:
    push = tail(jvp(flat, wrt, outs), len(flat.function.outputs))
    return cut(push, flat.function.n_inputs, 0)


def _flops(parts: Parts, seeded: Sequence[Aval]) -> int:
    """Operations of all passes of the linear part; the forward is that of the value in both modes."""
    count = sum(prod(a.dims) for a in seeded)
    return measured(parts.forward).flops + count * measured(parts.linear).flops


def _rows(stacked: Sequence[Expr], ins: Sequence[Aval], ends: Sequence[Aval]) -> Pairs:
    """From cotangents of inputs with all output elements in front."""
    found: Pairs = {}
    for j, (x, inner) in enumerate(zip(stacked, ins, strict=True)):
        for k, (piece, outer) in enumerate(zip(_pieces(x, ends), ends, strict=True)):
            found[k, j] = reshape(piece, (*outer.shape, *inner.shape))
    return found


def _columns(stacked: Sequence[Expr], ins: Sequence[Aval], ends: Sequence[Aval]) -> Pairs:
    """From tangents of outputs with all input elements in front."""
    found: Pairs = {}
    for k, (y, outer) in enumerate(zip(stacked, ends, strict=True)):
        for j, (piece, inner) in enumerate(zip(_pieces(y, ins), ins, strict=True)):
            last = transpose(piece, (*range(1, piece.aval.rank), 0))
            found[k, j] = reshape(last, (*outer.shape, *inner.shape))
    return found


def _pieces(x: Expr, avals: Sequence[Aval]) -> list[Expr]:
    """The leading axis cut into the elements of each value."""
    out, start = [], 0
    for aval in avals:
        stop = start + prod(aval.dims)
        out.append(_between(x, start, stop))
        start = stop
    return out


def _between(x: Expr, start: int, stop: int) -> Expr:
    if (start, stop) == (0, x.shape[0]):
        return x
    rank = x.aval.rank
    starts: tuple[Dim, ...] = (start, *(0,) * (rank - 1))
    stops = (stop, *x.shape[1:])
    return Expr(x.b, x.b.add("Slice", x.id, starts=starts, stops=stops, steps=(1,) * rank))


def _batch_axis(aval: Aval) -> int | None:
    return next((k for k, d in enumerate(aval.shape) if isinstance(d, BatchDim)), None)


def _lane_axis(x: Expr, axis: int) -> Expr:
    """(.., k*N, ..) as (.., N, k, ..)."""
    k = cast(BatchDim, x.shape[axis]).k
    return reshape(x, (*x.shape[:axis], BatchDim(1), k, *x.shape[axis + 1 :]))


def _of_one(flat: Flat) -> Flat:
    """The function for a batch of one: every N is 1."""
    function = _counted(specialise(flat.function, 1))
    bodies = tuple(map(_counted, specialise_all(flat.bodies, 1)))
    return Flat(function, flat.debug, bodies)


def _counted(function: Function) -> Function:
    """k*N as the constant k."""
    rows = [
        (op, attrs) if op != "DimSize" else ("Constant", _number(cast(int, dict(attrs)["k"])))
        for op, attrs in zip(function.ops, function.attrs, strict=True)
    ]
    return replace(
        function, ops=tuple(op for op, _ in rows), attrs=tuple(attrs for _, attrs in rows)
    )


def _number(k: int) -> Attrs:
    data = np.int64(k).tobytes()
    return (("data", data), ("dtype", DType.INT64), ("shape", ()))
