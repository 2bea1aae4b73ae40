"""What a verification computes: numbers that belong together for every node."""

import numpy as np
import pytest

from chainrule.errors import ChainruleError
from chainrule.ir.expr import Expr, apply, exp, reduce_sum, sin, tanh
from chainrule_server.engine import verify
from chainrule_server.engine.verify import verification
from support.engine_run import run
from support.losses import total
from support.written import N, f8, graph, i8

X = np.array([0.3, -1.2, 0.9])
ROWS = np.random.default_rng(0).normal(size=(50, 3))


def _body(w: Expr, x: Expr, k: Expr) -> dict[str, Expr]:
    held = apply("StopGradient", exp(w))
    y = tanh(sin(reduce_sum(x * w * held, (1,))))
    return {"y": y, "loss": total(y * y), "k": k}


GRAPH = graph({"w": f8(3), "x": f8(N, 3), "k": i8()}, _body)
FEEDS = {"w": X, "x": ROWS, "k": np.array(1)}
SEEDS = {"ct/y": np.cos(np.arange(50.0)), "ct/loss": np.array(2.0)}
TANGENTS = {"t/w": np.ones(3), "t/x": np.sin(ROWS)}


def test_a_node_sends_back_what_its_tangent_says() -> None:
    v = verification(GRAPH, (), ())
    assert (v.wrt, v.outs) == (("w", "x"), ("y", "loss"))
    got = run(v.base, 50, FEEDS | SEEDS | TANGENTS)
    assert v.paired
    for row in v.paired:
        np.testing.assert_allclose(got[f"sent/{row}"], got[f"pair/{row}"], rtol=1e-11, atol=1e-13)
        assert got[f"size/{row}"] >= abs(got[f"pair/{row}"])


def test_a_node_s_tangent_is_the_slope_of_its_value_with_stopped_values_held() -> None:
    v = verification(GRAPH, (), ())
    base = run(v.base, 50, FEEDS | SEEDS | TANGENTS)
    fixed = SEEDS | {name: a for name, a in base.items() if name.startswith("frozen/")}
    h = 1e-5
    sides = []
    for sign in (h, -h):
        moved = {"w": X + sign * TANGENTS["t/w"], "x": ROWS + sign * TANGENTS["t/x"]}
        sides.append(run(v.probe, 50, FEEDS | moved | fixed))
    for row in v.nodes:
        slope = (sides[0][f"node/{row}"] - sides[1][f"node/{row}"]) / (2 * h)
        np.testing.assert_allclose(slope, base[f"tangent/{row}"], rtol=1e-6, atol=1e-8)
    slope = (sides[0]["total"] - sides[1]["total"]) / (2 * h)
    pairs = [(SEEDS[f"ct/{name}"], base[f"jvp/{name}"]) for name in ("y", "loss")]
    np.testing.assert_allclose(slope, sum(np.sum(ct * t) for ct, t in pairs), rtol=1e-6)


def test_of_a_very_large_graph_only_the_whole_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "MAX_NODES", 3)
    v = verification(GRAPH, ("w",), ("loss",))
    assert v.nodes == ()
    assert {p.name for p in v.probe.outputs} == {"total"}


def test_names_that_are_not_there_are_refused() -> None:
    with pytest.raises(ChainruleError, match="nowhere"):
        verification(GRAPH, ("nowhere",), ())
    with pytest.raises(ChainruleError, match="k, which is int64"):
        verification(GRAPH, ("k",), ())
