"""The last step before a plan: rules in place, and what means the whole batch lifted out of bodies."""

import numpy as np

from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr, cos, sin
from chainrule.ir.graph import Debug, Function, Graph
from chainrule_server.engine.compiler import compile_main
from chainrule_server.engine.flat import Flat
from chainrule_server.engine.lower import lower
from chainrule_server.engine.structure import flatten
from support.engine_run import run, same_bits
from support.losses import iota, n_of
from support.written import N, f8, function


def node(op: str, functions: tuple[Function, ...], **attrs: int) -> Graph:
    b = Builder(functions)
    x = b.input("x", f8())
    return Graph((*functions, b.finish([b.add(op, x, **attrs)], ["y"])))


def test_checkpoints_and_own_rules_are_inlined_however_deep() -> None:
    inner = node("Checkpoint", (function({"x": f8()}, sin),), function=0)
    rule = function({"x": f8(), "ct": f8()}, lambda x, ct: ct * 3.0)
    outer = node("CustomVjp", (*inner.functions, rule), function=1, otherwise=2)
    flat = flatten(outer)
    assert flat.function.ops == ("Input", "CustomVjp")
    low = lower(flat)
    assert low.function.ops == ("Input", "Sin")
    assert low.bodies == ()


def test_a_function_without_structure_is_simplified_alone() -> None:
    f = function({"x": f8()}, lambda x: cos(x * 1.0))
    assert lower(Flat(f, Debug())).function.ops == ("Input", "Cos")


def _body(h: Expr) -> Expr:
    return sin(h) + iota(h, N, axis=-1) / n_of(h)


def test_the_size_of_the_batch_and_the_index_enter_a_body_from_outside() -> None:
    step = function({"h": f8(N)}, _body)
    b = Builder((step,))
    out = b.add("Scan", b.input("x", f8(N)), function=0, n_carry=1, length=4)
    g = Graph((step, b.finish([out], ["y"])))
    low = lower(flatten(g))
    assert not {"DimSize", "Iota"} & set(low.bodies[-1].ops)
    assert {"DimSize", "Iota"} <= set(low.function.ops)
    x = np.linspace(-1.0, 1.0, 11)
    want = x
    for _ in range(4):
        want = np.sin(want) + np.arange(11) / 11
    results = [
        run(compile_main(g, {}, microshard=rows), 11, {"x": x}, workers=workers)
        for rows, workers in ((3, 1), (3, 2), (4, 1), (11, 1))
    ]
    for got in results:
        np.testing.assert_allclose(got["y"], want, rtol=1e-14)
    assert same_bits(results[0], results[1])
