"""A derivative cut in two: together they are the whole, and the linear part has no forward in it."""

import numpy as np

from chainrule.ir.expr import Expr, apply, reduce_sum, sin, tanh
from chainrule.ir.graph import Graph
from chainrule_server.engine.autodiff import vjp
from chainrule_server.engine.compiler import compile_flat
from chainrule_server.engine.flat import Flat, tail
from chainrule_server.engine.linear import Parts, cut
from chainrule_server.engine.structure import flatten
from support.engine_run import run
from support.losses import total
from support.written import f8, function, graph

X = np.array([0.3, -1.2, 0.9])
W = np.arange(12.0).reshape(4, 3) / 9


def layer(w: Expr, x: Expr) -> Expr:
    return tanh(reduce_sum(w * sin(x), (1,)))


def parts_of(flat: Flat, wrt: tuple[int, ...]) -> Parts:
    back = tail(vjp(flat, wrt, (0,)), len(flat.function.outputs))
    return cut(back, flat.function.n_inputs, 0)


def test_forward_then_linear_is_the_vjp() -> None:
    parts = parts_of(flatten(graph({"w": f8(4, 3), "x": f8(3)}, layer)), (0, 1))
    forward = run(compile_flat(parts.forward), 1, {"w": W, "x": X})
    assert len(forward) == parts.n_residuals
    ct = np.array([1.0, -2.0, 0.5, 3.0])
    seeded = forward | {parts.linear.function.input_names[-1]: ct}
    found = list(run(compile_flat(parts.linear), 1, seeded).values())
    slope = ct * (1 - np.tanh(W @ np.sin(X)) ** 2)
    np.testing.assert_allclose(found[0], slope[:, None] * np.sin(X), rtol=1e-14)
    np.testing.assert_allclose(found[1], (slope @ W) * np.cos(X), rtol=1e-14)


def test_the_linear_part_calls_no_function_of_the_primals() -> None:
    parts = parts_of(flatten(graph({"w": f8(4, 3), "x": f8(3)}, layer)), (1,))
    assert {"Tanh", "Sin", "Cos"}.isdisjoint(parts.linear.function.ops)
    assert {"Tanh", "Sin", "Cos"} <= set(parts.forward.function.ops)


def test_what_a_checkpoint_computes_again_is_not_kept() -> None:
    inner = function({"x": f8(3)}, lambda x: sin(sin(x)))

    def body(x: Expr) -> Expr:
        return total(Expr(x.b, x.b.add("Checkpoint", x.id, function=0)))

    parts = parts_of(
        flatten(Graph((inner, *graph({"x": f8(3)}, body, (inner,)).functions[1:]))), (0,)
    )
    assert parts.linear.function.ops.count("Cos") == 2
    assert [str(a) for a in parts.forward.function.out_avals] == ["float64[3]"]


def test_where_nothing_is_kept_the_forward_still_has_an_output() -> None:
    def body(x: Expr, y: Expr) -> Expr:
        return apply("StopGradient", x) * 2.0 + y

    parts = parts_of(flatten(graph({"x": f8(3), "y": f8(3)}, body)), (0, 1))
    assert parts.n_residuals == 1
    assert not any(parts.linear.function.inputs[row] for row in range(parts.n_residuals))
