"""Loops at run time: a body is bound once to buffers of its own, then run over and over."""

from collections.abc import Callable, Sequence
from typing import Protocol, cast

import numpy as np

from chainrule.errors import ErrorCode, NotConverged
from chainrule.ir.attrs import AttrValue
from chainrule.ir.structure import ScanShape
from chainrule_server.engine.loops.anderson import Anderson
from chainrule_server.engine.ops.table import Array, Thunk

AttrMap = dict[str, AttrValue]


class Body(Protocol):
    """A function bound to memory: fill `inputs`, run, read `outputs`."""

    @property
    def inputs(self) -> Sequence[Array]: ...
    @property
    def outputs(self) -> Sequence[Array]: ...
    def run(self) -> None: ...


def bind_loop(
    op: str, ins: Sequence[Array], outs: Sequence[Array], attrs: AttrMap, bodies: Sequence[Body]
) -> Thunk:
    """The thunk that runs a loop.

    Args:
        op: Cond, Scan or FixedPoint.
        ins, outs: operands and results of the node.
        attrs: of the node.
        bodies: its functions, each bound to memory that nobody else writes.
    """
    if op == "Cond":
        return _cond(ins, outs, bodies)
    if op == "Scan":
        return _scan(ins, outs, ScanShape.of(attrs), bodies[0])
    return _fixed_point(ins, outs, attrs, bodies[0])


def _copies(pairs: Sequence[tuple[Array, Array]]) -> Callable[[], None]:
    def run() -> None:
        for target, source in pairs:
            np.copyto(target, source)

    return run


def _cond(ins: Sequence[Array], outs: Sequence[Array], bodies: Sequence[Body]) -> Thunk:
    pred = ins[0]
    sides = [
        (
            _copies(list(zip(body.inputs, ins[1:], strict=True))),
            body.run,
            _copies(list(zip(outs, body.outputs, strict=True))),
        )
        for body in bodies
    ]

    def run() -> None:
        fill, work, drain = sides[0] if pred[()] else sides[1]
        fill()
        work()
        drain()

    return run


def _scan(ins: Sequence[Array], outs: Sequence[Array], shape: ScanShape, body: Body) -> Thunk:
    limit, given = ins[: int(shape.limit)], ins[int(shape.limit) :]
    nc, nk = shape.n_consts, shape.n_carry
    done = int(shape.until)
    carry_in = body.inputs[nc : nc + nk]
    carry_out = body.outputs[done : done + nk]
    ys = list(zip(outs[nk : len(outs) - done], body.outputs[done + nk :], strict=True))
    xs = list(zip(body.inputs[nc + nk :], given[nc + nk :], strict=True))
    start = _copies(
        [
            *zip(body.inputs[:nc], given[:nc], strict=True),
            *zip(carry_in, given[nc : nc + nk], strict=True),
        ]
    )
    forward = _copies(list(zip(carry_in, carry_out, strict=True)))
    end = _copies(list(zip(outs[:nk], carry_in, strict=True)))

    def run() -> None:
        start()
        count = min(int(limit[0]), shape.length) if limit else shape.length
        taken = 0
        for step in reversed(range(count)) if shape.reverse else range(count):
            for slot, whole in xs:
                slot[...] = whole[step]
            body.run()
            forward()
            for whole, slot in ys:
                whole[step] = slot
            taken += 1
            if done and body.outputs[0][()]:
                break
        end()
        # What no step wrote is zero, so that a cotangent of it sends nothing.
        for whole, _ in ys:
            if taken < shape.length:
                whole[taken if not shape.reverse else count :] = 0
        if done:
            outs[-1][...] = taken

    return run


def _fixed_point(ins: Sequence[Array], outs: Sequence[Array], attrs: AttrMap, body: Body) -> Thunk:
    nc = cast(int, attrs["n_consts"])
    max_iter, tol = cast(int, attrs["max_iter"]), cast(float, attrs["tol"])
    start = _copies(list(zip(body.inputs, ins, strict=True)))
    state = body.inputs[nc:]
    mixer = Anderson(state, body.outputs, bool(attrs["per_example"]))
    results = outs[: len(state)]

    def run() -> None:
        start()
        mixer.reset()
        residual, iteration = np.inf, 0
        while iteration < max_iter:
            body.run()
            iteration += 1
            residual = mixer.step(tol)
            if residual <= tol or not np.isfinite(residual):
                break
        for target, value in zip(results, state, strict=True):
            np.copyto(target, value)
        outs[-2][...] = iteration
        outs[-1][...] = residual
        if not residual <= tol:
            raise NotConverged(
                f"a fixed point is {residual:.3g} from its tolerance {tol:.3g} after {iteration} steps",
                code=ErrorCode.NOT_CONVERGED,
                cure="allow more iterations or a larger tolerance, or make the map a contraction",
            )

    return run
