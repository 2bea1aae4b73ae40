"""Flat functions with bodies: copied, defined, shortened."""

import numpy as np
import pytest

from chainrule.errors import LimitExceeded
from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr, cos, sin
from chainrule.ir.graph import Debug, Graph
from chainrule_server.engine import flat as flats
from chainrule_server.engine.compiler import compile_flat
from chainrule_server.engine.flat import Copier, Flat, define, finish, inline, tail
from chainrule_server.engine.structure import flatten
from support.engine_run import run
from support.written import f8, function

STEP = function({"h": f8()}, lambda h: {"h": sin(h), "y": h * 2.0})


def loop() -> Flat:
    """Three steps of h -> sin h, and twice every h on the way."""
    b = Builder((STEP,))
    x = b.input("x", f8())
    last, ys = b.add_multi("Scan", x, function=0, n_carry=1, length=3)
    return flatten(Graph((STEP, b.finish([last, ys], ["last", "ys"]))))


def by_hand(x: float) -> tuple[float, list[float]]:
    ys = []
    for _ in range(3):
        ys.append(2 * x)
        x = float(np.sin(x))
    return x, ys


def test_a_loop_and_its_body_travel_together() -> None:
    flat = loop()
    assert len(flat.bodies) == 1
    assert flat.body(0).function.ops == STEP.ops
    got = run(compile_flat(flat), 1, {"x": np.array(0.7)})
    last, ys = by_hand(0.7)
    np.testing.assert_allclose(got["last"], last, rtol=1e-15)
    np.testing.assert_allclose(got["ys"], ys, rtol=1e-15)


def test_inlining_twice_defines_the_body_once_and_runs_both() -> None:
    flat = loop()
    b = Builder()
    x = b.input("x", f8())
    first, _ = inline(b, flat, [x])
    second, ys = inline(b, flat, [first])
    twice = finish(b, [second, ys], ["last", "ys"], "twice")
    assert len(twice.bodies) == 1
    got = run(compile_flat(twice), 1, {"x": np.array(0.7)})
    np.testing.assert_allclose(got["last"], by_hand(by_hand(0.7)[0])[0], rtol=1e-15)


def test_a_body_defined_in_another_table_gets_another_number() -> None:
    flat = loop()
    b = Builder((function({"x": f8()}, cos),))
    b.input("x", f8())
    assert define(b, flat) == 2
    assert b.functions[1] == flat.bodies[0]
    assert dict(b.functions[2].attrs[1])["function"] == 1
    assert define(b, flat) == 2


def test_the_tail_keeps_what_it_needs() -> None:
    f = function({"x": f8()}, lambda x: {"a": sin(x), "b": cos(x)})
    short = tail(Flat(f, Debug(("", "s", "c"))), 1)
    assert short.function.ops == ("Input", "Cos")
    assert (short.function.output_names, short.debug.label(1)) == (("b",), "c")


def test_a_row_may_be_replaced_on_the_way() -> None:
    flat = Flat(function({"x": f8()}, lambda x: sin(x) * 2.0), Debug())
    b = Builder()
    x = Expr(b, b.input("x", f8()))
    copier = Copier(b, flat)
    rows = [x.id, copier.replace(1, (cos(x).id,))]
    for row in range(2, 4):
        rows.append(copier.copy(row, rows))
    made = b.finish([rows[-1]], ["y"])
    assert made.ops == ("Input", "Cos", "Constant", "Mul")


def test_what_grows_beyond_the_bound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flats, "MAX_FLAT_NODES", 6)
    flat = Flat(function({"x": f8()}, lambda x: sin(x) * 2.0), Debug())
    b = Builder()
    (row,) = inline(b, flat, [b.input("x", f8())])
    with pytest.raises(LimitExceeded, match="more than 6 nodes"):
        inline(b, flat, [row])
