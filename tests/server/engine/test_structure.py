"""Call, Vjp, Jvp and library functions become one flat function of primitives."""

import mpmath
import numpy as np
import pytest

from chainrule.errors import ErrorCode, LimitExceeded
from chainrule.ir.avals import Aval
from chainrule.ir.builder import Builder
from chainrule.ir.checker import check
from chainrule.ir.expr import Expr, apply, exp, reduce_sum, sin, tanh
from chainrule.ir.graph import Debug, Function, Graph
from chainrule_server.engine.compiler import compile_main
from chainrule_server.engine.flat import MAX_FLAT_NODES
from chainrule_server.engine.structure import flatten
from support.engine_run import run
from support.written import f8, function, graph, i8


def derivative(functions: tuple[Function, ...], op: str, index: int = -1) -> Function:
    """x -> the derivative of the last function of one scalar, by a Vjp or Jvp node."""
    index %= len(functions)
    b = Builder(functions)
    x = b.input("x", f8())
    one = b.constant(1.0)
    outs = b.add_multi(op, x, one, function=index, wrt=(0,), outs=(0,))
    return b.finish([outs[1]], ["out"])


@pytest.mark.parametrize(
    "ops", [("Vjp",) * 3, ("Jvp",) * 3, ("Vjp", "Jvp", "Vjp"), ("Jvp", "Vjp", "Vjp", "Jvp")]
)
def test_nested_nodes_give_higher_derivatives(ops: tuple[str, ...]) -> None:
    functions: tuple[Function, ...] = (function({"x": f8()}, lambda x: exp(sin(x)) * tanh(x)),)
    for op in ops:
        functions = (*functions, derivative(functions, op))
    g = Graph(functions)
    check(g)
    got = run(compile_main(g, {}), 1, {"x": np.array(0.4)})["out"]
    want = mpmath.diff(lambda x: mpmath.exp(mpmath.sin(x)) * mpmath.tanh(x), 0.4, len(ops))
    np.testing.assert_allclose(got, float(want), rtol=1e-11)


def test_a_vjp_of_a_vjp_differentiates_what_the_inner_one_closed_over() -> None:
    # g(x, c) = d/dx (x^3 sin c) = 3 x^2 sin c, then d g / d c = 3 x^2 cos c and d g / d x = 6 x sin c
    f = function({"x": f8(), "c": f8()}, lambda x, c: x**3 * sin(c))
    b = Builder((f,))
    x, c = b.input("x", f8()), b.input("c", f8())
    inner = b.add_multi("Vjp", x, c, b.constant(1.0), function=0, wrt=(0,), outs=(0,))[1]
    g = b.finish([inner], ["g"])
    b = Builder((f, g))
    x, c = b.input("x", f8()), b.input("c", f8())
    _, x_ct, c_ct = b.add_multi("Vjp", x, c, b.constant(1.0), function=1, wrt=(0, 1), outs=(0,))
    main = Graph((f, g, b.finish([x_ct, c_ct], ["x_ct", "c_ct"])))
    check(main)
    got = run(compile_main(main, {}), 1, {"x": np.array(2.0), "c": np.array(0.3)})
    np.testing.assert_allclose(got["x_ct"], 12.0 * np.sin(0.3), rtol=1e-15)
    np.testing.assert_allclose(got["c_ct"], 12.0 * np.cos(0.3), rtol=1e-15)


def test_a_call_with_several_outputs_is_named_by_items() -> None:
    f = function({"x": f8(2)}, lambda x: {"a": sin(x), "b": x * 2.0, "c": x})
    b = Builder((f,))
    outs = b.add_multi("Call", b.input("x", f8(2)), function=0)
    g = Graph((f, b.finish([outs[2], outs[1]], ["c", "b"])))
    check(g)
    flat = flatten(g).function
    assert flat.ops == ("Input", "Constant", "Mul")
    assert flat.outputs == (0, 2)


def test_labels_and_lines_travel_into_the_flat_function() -> None:
    b = Builder()
    b.label, b.line = "h", "model.py:3"
    x = Expr(b, b.input("x", f8()))
    f, debug = b.finish([sin(x).id], ["out"]), b.debug()
    b = Builder((f,))
    x_row = b.input("x", f8())
    b.line = "train.py:9"
    g = Graph((f, b.finish([b.add("Call", x_row, function=0)], ["out"])), (debug, b.debug()))
    flat = flatten(g)
    assert (flat.debug.label(1), flat.debug.line(1)) == ("h", "model.py:3")
    plain = flatten(Graph(g.functions, (Debug(), b.debug())))
    assert plain.debug.line(1) == "train.py:9"


def test_functions_that_main_does_not_reach_cost_nothing() -> None:
    bad = function({"x": f8()}, sin)
    unreachable = function({"x": f8(4, 4)}, lambda x: x @ x)
    b = Builder((bad, unreachable))
    g = Graph((bad, unreachable, b.finish([b.add("Call", b.input("x", f8()), function=0)], ["y"])))
    assert flatten(g).function.ops == ("Input", "Sin")


def test_library_functions_are_expanded_at_any_depth() -> None:
    f = function({"x": f8(3), "k": i8()}, lambda x, k: apply("SoftmaxCrossEntropy", x, k))
    b = Builder((f,))
    x, k = b.input("x", f8(3)), b.input("k", i8())
    rows = b.add_multi("Vjp", x, k, b.constant(1.0), function=0, wrt=(0,), outs=(0,))
    g = Graph((f, b.finish(rows, ["loss", "x_ct"])))
    logits = np.array([0.1, 2.0, -1.0])
    got = run(compile_main(g, {}), 1, {"x": logits, "k": np.array(2)})
    p = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(got["loss"], -np.log(p[2]), rtol=1e-14)
    np.testing.assert_allclose(got["x_ct"], p - [0.0, 0.0, 1.0], rtol=1e-13)


def chain_of(op: str, depth: int, aval: Aval) -> Graph:
    functions: tuple[Function, ...] = (function({"x": aval}, lambda x: sin(sin(sin(x) * x) * x)),)
    for index in range(depth):
        b = Builder(functions)
        x = b.input("x", aval)
        if op == "Call":
            out = b.add("Call", b.add("Call", x, function=index), function=index)
        else:
            out = b.add_multi(op, x, b.constant(1.0), function=index, wrt=(0,), outs=(0,))[1]
        functions = (*functions, b.finish([out], ["out"]))
    return Graph(functions)


def test_calls_nest_sixteen_deep() -> None:
    g = chain_of("Call", 8, f8())
    check(g)
    assert len(flatten(g).function) == 5 * 2**8 + 1
    b = Builder((function({"x": f8()}, sin),))
    functions = b.functions
    for index in range(15):
        b = Builder(functions)
        functions = (
            *functions,
            b.finish([b.add("Call", b.input("x", f8()), function=index)], ["out"]),
        )
    check(Graph(functions))
    assert flatten(Graph(functions)).function.ops == ("Input", "Sin")


@pytest.mark.parametrize(("op", "depth"), [("Call", 15), ("Vjp", 12)])
def test_what_multiplies_is_refused_before_it_is_built(op: str, depth: int) -> None:
    g = chain_of(op, depth, f8())
    check(g)
    with pytest.raises(LimitExceeded, match="nest fewer calls") as caught:
        flatten(g, limit=5_000)
    assert caught.value.code is ErrorCode.TOO_MANY_NODES
    assert caught.value.facts["limit"] == 5_000
    assert caught.value.facts["value"] < 3 * 5_000
    assert MAX_FLAT_NODES == 600_000


def test_many_functions_share_one_budget() -> None:
    # every one of the forty callers alone is small enough
    def body(x: Expr) -> Expr:
        for _ in range(1_000):
            x = sin(x)
        return x

    functions: tuple[Function, ...] = (function({"x": f8()}, body),)
    b = Builder(functions)
    caller = b.finish([b.add("Call", b.input("x", f8()), function=0)], ["out"])
    functions = (*functions, *[caller] * 40)
    b = Builder(functions)
    x = b.input("x", f8())
    outs = [b.add("Call", x, function=k) for k in range(1, 41)]
    main = b.finish(outs, [f"out/{k}" for k in range(40)])
    with pytest.raises(LimitExceeded, match="inlined functions"):
        flatten(Graph((*functions, main)), limit=30_000)


def test_equal_work_is_done_once() -> None:
    f = function({"x": f8(3)}, lambda x: reduce_sum(sin(x) * x, (0,)))
    b = Builder((f,))
    x = b.input("x", f8(3))
    value = b.add("Call", x, function=0)
    both = b.add_multi("Vjp", x, b.constant(1.0), function=0, wrt=(0,), outs=(0,))
    g = Graph((f, b.finish([value, both[1]], ["value", "grad"])))
    assert flatten(g).function.ops.count("Sin") == 1


def test_graph_helper_names_a_lone_output() -> None:
    assert graph({"x": f8()}, sin).main.output_names == ("out",)
