"""Scan: carry through the steps, so cotangents go back through them in reverse.

    forward      (c, k_i, x_i) -> k_(i+1), y_i        and k_i is kept
    vjp          k_ct, c_ct carried from the last step to the first:
                 (k_ct, c_ct_i, x_ct_i) = vjp(body)(c, k_i, x_i)(k_ct, y_ct_i),  c_ct += c_ct_i
    jvp          (c, c_t), (k_i, k_t_i), (x_i, x_t_i) -> k_(i+1), k_t_(i+1), y_i, y_t_i

With `until` the steps taken are an output, and the way back runs over these alone (`limit`).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from chainrule.ir.avals import Aval
from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr, zeros
from chainrule.ir.structure import ScanShape
from chainrule_server.engine.flat import Flat, define, finish, inline
from chainrule_server.engine.loops.rule import Derive, Node, exprs, filled, float_positions, ids

T = TypeVar("T")


class _Parts(NamedTuple):
    """Operands and outputs of a Scan by their role."""

    shape: ScanShape
    body: Flat
    limit: tuple[Expr, ...]
    consts: tuple[Expr, ...]
    carry: tuple[Expr, ...]
    xs: tuple[Expr, ...]

    @property
    def in_avals(self) -> tuple[Aval, ...]:
        """Of the body."""
        return self.body.function.in_avals

    @property
    def out_avals(self) -> tuple[Aval, ...]:
        """Of the body, without the done flag."""
        return self.body.function.out_avals[int(self.shape.until) :]


def _parts(node: Node) -> _Parts:
    shape = ScanShape.of(node.attrs)
    given = node.operands[int(shape.limit) :]
    k = shape.n_consts + shape.n_carry
    return _Parts(
        shape,
        node.body(),
        node.operands[: int(shape.limit)],
        given[: shape.n_consts],
        given[shape.n_consts : k],
        given[k:],
    )


class Scan:
    """The rule; see the module."""

    def forward(self, b: Builder, node: Node, derive: Derive) -> tuple[tuple[int, ...], object]:
        """The loop, its carries kept as further ys."""
        del derive
        p = _parts(node)
        inner, rows = _begin(p.in_avals)
        outs = inline(inner, p.body, rows)
        kept = rows[p.shape.n_consts : p.shape.n_consts + p.shape.n_carry]
        body = _finish(inner, [*outs, *kept])
        found = emit_scan(b, body, p.shape, p.limit, (*p.consts, *p.carry, *p.xs))
        n_out = len(p.out_avals)
        history = exprs(b, found[n_out : n_out + p.shape.n_carry])
        steps = found[-1:] if p.shape.until else ()
        return (*found[:n_out], *steps), (history, exprs(b, steps))

    def vjp(
        self,
        b: Builder,
        node: Node,
        outputs: tuple[int, ...],
        inside: object,
        cts: Sequence[Expr | None],
        derive: Derive,
    ) -> list[Expr | None]:
        """A Scan the other way round."""
        assert isinstance(inside, tuple)
        history, steps = inside
        p = _parts(node)
        first = int(p.shape.limit)
        nc, nk = p.shape.n_consts, p.shape.n_carry
        active = node.active[first:]
        a_consts = float_positions(p.in_avals[:nc], active[:nc])
        f_carry = float_positions(p.in_avals[nc : nc + nk])
        a_xs = float_positions(p.in_avals[nc + nk :], active[nc + nk :])
        done = int(p.shape.until)
        with_ct = [i for i in float_positions(p.out_avals) if i >= nk and cts[i] is not None]
        wrt = (*a_consts, *(nc + i for i in f_carry), *(nc + nk + i for i in a_xs))
        outs = (*(done + i for i in f_carry), *(done + i for i in with_ct))
        back = derive.vjp(p.body, wrt, outs)
        # The body of the way back: consts | k_ct, c_ct | k_i, x_i, y_ct_i
        y_cts = [cts[i] for i in with_ct]
        avals = (
            *p.in_avals[:nc],
            *(p.in_avals[nc + i] for i in f_carry),
            *(p.in_avals[i] for i in a_consts),
            *p.in_avals[nc:],
            *(p.out_avals[i] for i in with_ct),
        )
        inner, rows = _begin(avals)
        cut = _cutter(rows)
        consts, k_ct, acc = cut(nc), cut(len(f_carry)), cut(len(a_consts))
        k_and_x, y_ct = cut(nk + len(p.xs)), cut(len(with_ct))
        found = inline(inner, back, [*consts, *k_and_x, *k_ct, *y_ct])
        found = found[len(p.body.function.outputs) :]
        c_new, rest = found[: len(a_consts)], found[len(a_consts) :]
        sums = [inner.add("Add", s, c) for s, c in zip(acc, c_new, strict=True)]
        k_new, x_ct = rest[: len(f_carry)], rest[len(f_carry) :]
        body = _finish(inner, [*k_new, *sums, *x_ct])
        limited = tuple(steps) if p.shape.until else p.limit
        shape = ScanShape(
            nc,
            len(f_carry) + len(a_consts),
            p.shape.length,
            not p.shape.reverse,
            False,
            bool(limited),
        )
        seeds = filled(b, [cts[i] for i in f_carry], [Expr(b, outputs[i]) for i in f_carry])
        starts = [zeros(b, p.in_avals[i]) for i in a_consts]
        given = (*p.consts, *seeds, *starts, *history, *p.xs, *(y for y in y_cts if y is not None))
        results = exprs(b, emit_scan(b, body, shape, limited, given))
        take = _cutter(results)
        by_carry = dict(zip(f_carry, take(len(f_carry)), strict=True))
        by_const = dict(zip(a_consts, take(len(a_consts)), strict=True))
        by_x = dict(zip(a_xs, take(len(a_xs)), strict=True))
        return [
            *(None for _ in range(first)),
            *(by_const.get(i) for i in range(nc)),
            *(by_carry.get(i) for i in range(nk)),
            *(by_x.get(i) for i in range(len(p.xs))),
        ]

    def jvp(
        self, b: Builder, node: Node, tangents: Sequence[Expr | None], derive: Derive
    ) -> tuple[tuple[int, ...], list[Expr | None]]:
        """One Scan of values and tangents together."""
        p = _parts(node)
        nc, nk, done = p.shape.n_consts, p.shape.n_carry, int(p.shape.until)
        given = tangents[int(p.shape.limit) :]
        t_consts = [i for i in range(nc) if given[i] is not None]
        f_carry = float_positions(p.in_avals[nc : nc + nk])
        t_xs = [i for i in range(len(p.xs)) if given[nc + nk + i] is not None]
        f_out = float_positions(p.out_avals)
        f_ys = [i for i in f_out if i >= nk]
        wrt = (*t_consts, *(nc + i for i in f_carry), *(nc + nk + i for i in t_xs))
        both = derive.jvp(p.body, wrt, tuple(done + i for i in (*f_carry, *f_ys)))
        avals = (
            *p.in_avals[:nc],
            *(p.in_avals[i] for i in t_consts),
            *p.in_avals[nc : nc + nk],
            *(p.in_avals[nc + i] for i in f_carry),
            *p.in_avals[nc + nk :],
            *(p.in_avals[nc + nk + i] for i in t_xs),
        )
        inner, rows = _begin(avals)
        cut = _cutter(rows)
        c, c_t, k, k_t = cut(nc), cut(len(t_consts)), cut(nk), cut(len(f_carry))
        x, x_t = cut(len(p.xs)), cut(len(t_xs))
        found = inline(inner, both, [*c, *k, *x, *c_t, *k_t, *x_t])
        n_out = len(p.out_avals)
        values, out_t = found[done : done + n_out], found[done + n_out :]
        k_t_new, y_t = out_t[: len(f_carry)], out_t[len(f_carry) :]
        body = _finish(inner, [*found[:done], *values[:nk], *k_t_new, *values[nk:], *y_t])
        carry_t = filled(b, [given[nc + i] for i in f_carry], [p.carry[i] for i in f_carry])
        operands = (
            *p.consts,
            *(t for t in given[:nc] if t is not None),
            *p.carry,
            *carry_t,
            *p.xs,
            *(t for t in given[nc + nk :] if t is not None),
        )
        shape = ScanShape(
            nc + len(t_consts),
            nk + len(f_carry),
            p.shape.length,
            p.shape.reverse,
            p.shape.until,
            p.shape.limit,
        )
        take = _cutter(list(emit_scan(b, body, shape, p.limit, operands)))
        k_out, k_t_out = take(nk), take(len(f_carry))
        y_out, y_t_out = take(n_out - nk), take(len(f_ys))
        steps = take(done)
        outputs = (*k_out, *y_out, *steps)
        by_out = dict(zip((*f_carry, *f_ys), (*k_t_out, *y_t_out), strict=True))
        return outputs, [Expr(b, by_out[i]) if i in by_out else None for i in range(len(outputs))]


def emit_scan(
    b: Builder, body: Flat, shape: ScanShape, limit: Sequence[Expr], given: Sequence[Expr]
) -> tuple[int, ...]:
    """A Scan of a flat body, whose operands are `given` behind the limit."""
    return b.add_multi(
        "Scan",
        *ids([*limit, *given]),
        function=define(b, body),
        n_consts=shape.n_consts,
        n_carry=shape.n_carry,
        length=shape.length,
        reverse=shape.reverse,
        until=shape.until,
        limit=shape.limit,
    )


def _begin(avals: Sequence[Aval]) -> tuple[Builder, list[int]]:
    inner = Builder()
    return inner, [inner.input(f"v{i}", aval) for i, aval in enumerate(avals)]


def _finish(inner: Builder, outputs: Sequence[int]) -> Flat:
    return finish(inner, outputs, [f"o{i}" for i in range(len(outputs))], "step")


def _cutter(values: Sequence[T]) -> Callable[[int], list[T]]:
    """Takes a sequence apart from the front."""
    left = iter(values)
    return lambda count: [next(left) for _ in range(count)]
