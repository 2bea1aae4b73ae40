"""A training step as one program: NumPy's numbers, in the state's other buffer."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pytest

from chainrule.errors import ChainruleError, ErrorCode
from chainrule.ir.avals import Aval, DType
from chainrule.ir.checker import check
from chainrule.ir.expr import Expr, cast, power, reduce_sum, sqrt, tanh
from chainrule.ir.graph import Graph
from chainrule_server.engine.arena import aligned
from chainrule_server.engine.compiler import compile_main
from chainrule_server.engine.program import STATE_WRITE, Program
from chainrule_server.engine.step import compile_forward, compile_step, step_graph
from support.engine_run import Array, run, same_bits
from support.losses import error, n_of, total
from support.written import N, f4, f8, graph, i8

RATE = 0.1
W, V = f8(3, 2), f8(2)
ROWS = 11


def _loss(w: Expr, v: Expr, seen: Expr, x: Expr, y: Expr) -> dict[str, Expr]:
    e = error(w, x, y + v)
    return {
        "loss": total(e) / n_of(x),
        "metrics/worst": total(e),
        "buffers/seen": seen + n_of(x),
    }


LOSS = graph(
    {
        "params/w": W,
        "params/v": V,
        "buffers/seen": f8(),
        "batch/0/x": f8(N, 3),
        "batch/0/y": f8(N, 2),
    },
    _loss,
)


def sgd() -> Graph:
    return graph(
        {"grads/w": W, "grads/v": V, "params/w": W, "params/v": V, "step": i8()},
        lambda gw, gv, w, v, step: {"updates/w": gw * -RATE, "updates/v": gv * -RATE},
    )


def momentum() -> Graph:
    def body(gw: Expr, gv: Expr, mw: Expr, mv: Expr) -> dict[str, Expr]:
        nw, nv = mw * 0.9 + gw, mv * 0.9 + gv
        return {"updates/w": nw * -RATE, "updates/v": nv * -RATE, "state/m/w": nw, "state/m/v": nv}

    return graph({"grads/w": W, "grads/v": V, "state/m/w": W, "state/m/v": V}, body)


def adam_of_w() -> Graph:
    """Trains w alone: v is frozen."""

    def body(g: Expr, m: Expr, s: Expr, step: Expr) -> dict[str, Expr]:
        t = cast(step, DType.FLOAT64) + 1.0
        m2, s2 = m * 0.9 + g * 0.1, s * 0.999 + g * g * 0.001
        m_hat = m2 / (1.0 - power(t.like(0.9), t))
        s_hat = s2 / (1.0 - power(t.like(0.999), t))
        return {
            "updates/w": m_hat / (sqrt(s_hat) + 1e-8) * -RATE,
            "state/m/w": m2,
            "state/s/w": s2,
        }

    return graph({"grads/w": W, "state/m/w": W, "state/s/w": W, "step": i8()}, body)


@dataclass
class State:
    """The two buffers of a session, and where leaves lie in them."""

    leaves: Mapping[str, Aval]

    @property
    def places(self) -> dict[str, int]:
        out, end = {}, 0
        for name, aval in self.leaves.items():
            out[name] = end
            end += aligned(aval.nbytes)
        return out

    def pack(self, values: Mapping[str, Array]) -> Array:
        memory = np.zeros(sum(aligned(a.nbytes) for a in self.leaves.values()), np.uint8)
        for name, at in self.places.items():
            data = np.frombuffer(np.asarray(values[name]).tobytes(), np.uint8)
            memory[at : at + len(data)] = data
        return memory


def gradients(w: Array, v: Array, x: Array, y: Array) -> tuple[float, Array, Array]:
    h = np.tanh(x @ w)
    r = h - (y + v)
    loss = (r * r).sum() / len(x)
    return loss, x.T @ (2 * r * (1 - h * h)) / len(x), -2 * r.sum(0) / len(x)


def batches(count: int) -> list[tuple[Array, Array]]:
    rng = np.random.default_rng(5)
    return [(rng.standard_normal((ROWS, 3)), rng.standard_normal((ROWS, 2))) for _ in range(count)]


def train(
    program: Program, leaves: Mapping[str, Aval], steps: int, workers: int = 1
) -> dict[str, Array]:
    state = State(leaves)
    values: dict[str, Array] = {
        name: np.zeros(a.dims) if name[0] != "p" else np.linspace(0.1, 0.6, a.size).reshape(a.dims)
        for name, a in leaves.items()
    }
    for count, (x, y) in enumerate(batches(steps)):
        feeds = {"batch/0/x": x, "batch/0/y": y, "step": np.array(count)}
        feeds = {p.name: feeds[p.name] for p in program.inputs if p.name in feeds}
        out = run(program, ROWS, feeds, state=state.pack(values), workers=workers)
        values = values | {name: out[name] for name in leaves if name in out}
    return values | {name: out[name] for name in out if name not in leaves}


BASE = {"params/w": W, "params/v": V, "buffers/seen": f8()}
OPTIMIZERS: dict[str, tuple[Graph, dict[str, Aval]]] = {
    "sgd": (sgd(), {}),
    "momentum": (momentum(), {"state/m/w": W, "state/m/v": V}),
    "adam": (adam_of_w(), {"state/m/w": W, "state/s/w": W}),
}


def by_numpy(name: str, steps: int) -> tuple[Array, Array, float]:
    w, v = np.linspace(0.1, 0.6, 6).reshape(3, 2), np.linspace(0.1, 0.6, 2)
    m_w, m_v, s_w = np.zeros_like(w), np.zeros_like(v), np.zeros_like(w)
    loss = 0.0
    for count, (x, y) in enumerate(batches(steps)):
        loss, g_w, g_v = gradients(w, v, x, y)
        if name == "sgd":
            w, v = w - RATE * g_w, v - RATE * g_v
        elif name == "momentum":
            m_w, m_v = 0.9 * m_w + g_w, 0.9 * m_v + g_v
            w, v = w - RATE * m_w, v - RATE * m_v
        else:
            m_w, s_w = 0.9 * m_w + 0.1 * g_w, 0.999 * s_w + 0.001 * g_w**2
            m_hat, s_hat = m_w / (1 - 0.9 ** (count + 1)), s_w / (1 - 0.999 ** (count + 1))
            w = w - RATE * m_hat / (np.sqrt(s_hat) + 1e-8)
    return w, v, loss


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_ten_steps_are_those_of_numpy(name: str) -> None:
    update, state = OPTIMIZERS[name]
    check(step_graph(LOSS, update)[0])
    leaves = BASE | state
    program = compile_step(LOSS, update, places=State(leaves).places, microshard_rows=4)
    got = train(program, leaves, 10)
    w, v, loss = by_numpy(name, 10)
    np.testing.assert_allclose(got["params/w"], w, rtol=1e-12)
    np.testing.assert_allclose(got["params/v"], v, rtol=1e-12)
    np.testing.assert_allclose(got["loss"], loss, rtol=1e-12)
    assert got["buffers/seen"] == 10 * ROWS
    assert same_bits(got, train(program, leaves, 10, workers=3))


def test_a_step_reports_loss_metrics_norms_and_whether_they_are_finite() -> None:
    program = compile_step(LOSS, sgd(), places=State(BASE).places, microshard_rows=4)
    board = {p.name for p in program.outputs if p.place.offset is None}
    assert board == {"loss", "metrics/worst", "grad_norm", "grad_norm/w", "grad_norm/v", "finite"}
    got = train(program, BASE, 1)
    x, y = batches(1)[0]
    start = {n: np.linspace(0.1, 0.6, a.size).reshape(a.dims) for n, a in BASE.items()}
    loss, g_w, g_v = gradients(start["params/w"], start["params/v"], x, y)
    np.testing.assert_allclose(got["metrics/worst"], loss * ROWS, rtol=1e-13)
    np.testing.assert_allclose(got["grad_norm/w"], np.linalg.norm(g_w), rtol=1e-13)
    np.testing.assert_allclose(got["grad_norm/v"], np.linalg.norm(g_v), rtol=1e-13)
    np.testing.assert_allclose(got["grad_norm"], np.hypot(got["grad_norm/w"], got["grad_norm/v"]))
    assert got["finite"].dtype == np.bool_
    assert bool(got["finite"])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_batch_that_is_not_finite_shows(bad: float) -> None:
    program = compile_step(LOSS, sgd(), places=State(BASE).places, microshard_rows=4)
    x, y = batches(1)[0]
    y[3, 1] = bad
    state = State(BASE).pack({n: np.zeros(a.dims) for n, a in BASE.items()})
    out = run(program, ROWS, {"batch/0/x": x, "batch/0/y": y, "step": np.array(0)}, state=state)
    assert not bool(out["finite"])


def test_a_step_writes_its_leaves_to_the_other_buffer_alone() -> None:
    update, state = OPTIMIZERS["adam"]
    places = State(BASE | state).places
    program = compile_step(LOSS, update, places=places)
    written = {p.name: p.place.offset for p in program.outputs if p.place.region == STATE_WRITE}
    assert written == {
        name: places[name] for name in ("params/w", "state/m/w", "state/s/w", "buffers/seen")
    }
    read = {p.name for p in program.inputs if p.place.offset is not None}
    assert read == places.keys()
    assert {p.name for p in program.inputs} - read == {"batch/0/x", "batch/0/y", "step"}


def test_parameters_may_be_one_bare_array() -> None:
    loss = graph(
        {"params": f8(3), "batch/0": f8(N, 3)},
        lambda w, x: {"loss": total(tanh(x * w)) / n_of(x)},
    )
    update = graph({"grads": f8(3)}, lambda g: {"updates": g * -1.0})
    program = compile_step(loss, update, places={"params": 0}, microshard_rows=4)
    w, x = np.array([0.1, 0.2, 0.3]), batches(1)[0][0]
    out = run(program, ROWS, {"batch/0": x}, state=State({"params": f8(3)}).pack({"params": w}))
    g = (x * (1 - np.tanh(x * w) ** 2)).sum(0) / ROWS
    np.testing.assert_allclose(out["params"], w - g, rtol=1e-13)
    np.testing.assert_allclose(out["grad_norm"], np.linalg.norm(g), rtol=1e-13)


def test_evaluation_reads_the_state_and_leaves_it() -> None:
    program = compile_forward(LOSS, places=State(BASE).places, microshard_rows=4)
    values = {n: np.full(a.dims, 0.25) for n, a in BASE.items()}
    x, y = batches(1)[0]
    out = run(program, ROWS, {"batch/0/x": x, "batch/0/y": y}, state=State(BASE).pack(values))
    loss, _, _ = gradients(values["params/w"], values["params/v"], x, y)
    np.testing.assert_allclose(out["loss"], loss, rtol=1e-13)
    assert all(p.place.offset is None for p in program.outputs)


NO_LOSS = graph({"params/w": W}, lambda w: {"out": total(w)})
VECTOR = graph({"params/w": W}, lambda w: {"loss": reduce_sum(w, (0,))})
SMALL = graph({"params/w": W, "params/v": V, "state/m": f8(2)}, lambda w, v, m: {"loss": total(w)})


@pytest.mark.parametrize(
    ("loss", "update", "code", "text"),
    [
        (NO_LOSS, sgd(), ErrorCode.BAD_LOSS, "the first output is out"),
        (VECTOR, sgd(), ErrorCode.BAD_LOSS, "the first output is loss, float64[2]"),
        (
            LOSS,
            graph({"grads/z": W}, lambda g: {"updates/z": g}),
            ErrorCode.INCOMPATIBLE,
            "trains params/z, no input of the loss",
        ),
        (
            LOSS,
            graph({"state/a": W}, lambda a: {"state/a": a}),
            ErrorCode.INCOMPATIBLE,
            "trains nothing",
        ),
        (
            LOSS,
            graph({"grads/w": W, "params/w": f4(3, 2)}, lambda g, w: {"updates/w": g}),
            ErrorCode.INCOMPATIBLE,
            "params/w is float64[3,2] in the loss and float32[3,2] in the optimizer",
        ),
        (
            LOSS,
            graph({"grads/w": f8(2, 3)}, lambda g: {"updates/w": g}),
            ErrorCode.SHAPE_MISMATCH,
            "value 0 given to main is float64[3,2]",
        ),
        (
            LOSS,
            graph({"grads/w": W}, lambda g: {"updates/w": reduce_sum(g, (0,), keepdims=True)}),
            ErrorCode.INCOMPATIBLE,
            "updates/w is float64[1,2], the leaf that it renews is float64[3,2]",
        ),
        (
            LOSS,
            graph({"grads/w": W}, lambda g: {"updates/w": g, "updates/q": g}),
            ErrorCode.INCOMPATIBLE,
            "the leaf that it renews is not there",
        ),
        (
            SMALL,
            graph({"grads/w": W}, lambda g: {"updates/w": g, "state/m": g}),
            ErrorCode.INCOMPATIBLE,
            "state/m is float64[3,2], the leaf that it renews is float64[2]",
        ),
    ],
)
def test_graphs_that_do_not_fit_each_other(
    loss: Graph, update: Graph, code: ErrorCode, text: str
) -> None:
    with pytest.raises(ChainruleError) as caught:
        step_graph(loss, update)
    assert caught.value.code is code
    assert text in str(caught.value)


def test_functions_of_both_graphs_share_one_table() -> None:
    inner = graph({"a": W}, lambda a: a * -RATE).main

    def rule(g: Expr) -> dict[str, Expr]:
        return {"updates/w": Expr(g.b, g.b.add("Call", g.id, function=0))}

    update = graph({"grads/w": W}, rule, (inner,))
    whole, written = step_graph(LOSS, update)
    check(whole)
    assert written == ("params/w", "buffers/seen")
    plain = graph({"grads/w": W}, lambda g: {"updates/w": g * -RATE})
    a, b = (compile_main(step_graph(LOSS, u)[0], {}).encode() for u in (update, plain))
    assert a == b
