"""Loops: value and derivatives of every order against closed forms, complex step and plain Python loops."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from chainrule.errors import NotConverged
from chainrule.ir import canonical, checker
from chainrule.ir.avals import Aval, BatchDim, DType, Shape
from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr, apply, cos, exp, less, reduce_sum, sin, tanh
from chainrule.ir.graph import Function, Graph
from chainrule_server.engine.compiler import compile_request
from chainrule_server.engine.program import Program
from chainrule_server.engine.requests import Kind, Request
from support.engine_run import run

F = DType.FLOAT64
Array = np.ndarray[Any, Any]


def function(
    avals: list[tuple[Shape, DType]],
    body: Callable[..., list[Expr]],
    functions: tuple[Function, ...] = (),
    names: list[str] | None = None,
) -> Function:
    b = Builder(functions)
    rows = [Expr(b, b.input(f"x{i}", Aval(d, s))) for i, (s, d) in enumerate(avals)]
    outs = body(*rows)
    return b.finish([o.id for o in outs], names or [f"o{i}" for i in range(len(outs))])


def graph(*functions: Function) -> Graph:
    g = Graph(functions)
    checker.check(g)
    assert canonical.encode(canonical.decode(canonical.encode(g))) == canonical.encode(g)
    return g


def several(b: Builder, op: str, *inputs: Expr, **attrs: Any) -> list[Expr]:
    return [Expr(b, r) for r in b.add_multi(op, *(x.id for x in inputs), **attrs)]


def answers(g: Graph, feeds: dict[str, Array], wrt: tuple[str, ...]) -> dict[str, Array]:
    requests = [Request(Kind.VALUE), Request(Kind.GRAD, wrt), Request(Kind.HVP, wrt)]
    program = compile_request(g, requests)
    assert Program.decode(program.encode()).encode() == program.encode()
    return run(program, 1, feeds)


def grad_of_grad(
    loss: Function, functions: tuple[Function, ...], x_aval: tuple[Shape, DType]
) -> Graph:
    """d/dx of (d loss / dx), summed: third-order rules by nesting Vjp nodes."""
    table = [*functions, loss]

    def once(index: int) -> Callable[..., list[Expr]]:
        def body(x: Expr) -> list[Expr]:
            one = x.like(1.0)
            found = several(x.b, "Vjp", x, one, function=index, wrt=(0,), outs=(0,))
            return [reduce_sum(found[1], tuple(range(found[1].aval.rank)))]

        return body

    for _ in range(3):
        table.append(function([x_aval], once(len(table) - 1), tuple(table)))
    return graph(*table)


def test_scan_with_constants_carry_and_slices_has_every_derivative() -> None:
    # k <- tanh(w k + x_i);  loss = sum_i k_i^2 + k_T
    step = function([((), F), ((), F), ((), F)], lambda w, k, x: [tanh(w * k + x), k * k])

    def loss(w: Expr, k: Expr, xs: Expr) -> list[Expr]:
        last, squares = several(w.b, "Scan", w, k, xs, function=0, n_consts=1, n_carry=1, length=5)
        return [reduce_sum(squares, (0,)) + last]

    main = function([((), F), ((), F), ((5,), F)], loss, (step,))
    rng = np.random.default_rng(1)
    w, k, xs = np.array(0.7), np.array(0.3), rng.normal(size=5)
    v = [np.array(0.4), np.array(-1.1), rng.normal(size=5)]

    def plain(w: Any, k: Any, xs: Any) -> Any:
        total = 0.0
        for x in xs:
            total, k = total + k * k, np.tanh(w * k + x)
        return total + k

    names = ("x0", "x1", "x2")
    feeds = dict(zip(names, (w, k, xs), strict=True))
    feeds |= {f"v/2/{n}": t for n, t in zip(names, v, strict=True)}
    got = answers(graph(step, main), feeds, names)
    assert got["value/o0"] == pytest.approx(plain(w, k, xs), rel=1e-14)
    h = 1e-30
    args = [w, k, xs]
    direction = plain(*(a + 1j * h * t for a, t in zip(args, v, strict=True))).imag / h
    inner = sum(np.sum(got[f"grad/1/{n}"] * t) for n, t in zip(names, v, strict=True))
    assert inner == pytest.approx(direction, rel=1e-12)
    # HVP against the central difference of the complex-step gradient along v
    e = 1e-5

    def directional(shift: float) -> float:
        moved = [a + shift * t for a, t in zip(args, v, strict=True)]
        return float(plain(*(a + 1j * h * t for a, t in zip(moved, v, strict=True))).imag / h)

    second = (directional(e) - directional(-e)) / (2 * e)
    inner = sum(np.sum(got[f"hvp/2/{n}"] * t) for n, t in zip(names, v, strict=True))
    assert inner == pytest.approx(second, rel=1e-7)


@pytest.mark.parametrize("reverse", [False, True])
def test_scan_of_a_power_has_its_fourth_derivative(reverse: bool) -> None:
    # four steps of k <- k * x from 1 give x^4
    step = function([((), F), ((), F)], lambda x, k: [k * x])

    def loss(x: Expr) -> list[Expr]:
        one = x.like(1.0)
        return several(
            x.b, "Scan", x, one, function=0, n_consts=1, n_carry=1, length=4, reverse=reverse
        )

    main = function([((), F)], loss, (step,))
    g = grad_of_grad(main, (step,), ((), F))
    program = compile_request(g, [Request(Kind.VALUE), Request(Kind.GRAD, ("x0",))])
    got = run(program, 1, {"x0": np.array(1.5)})
    assert got["value/o0"] == pytest.approx(24 * 1.5, rel=1e-12)
    assert got["grad/1/x0"] == pytest.approx(24.0, rel=1e-12)


def test_scan_until_stops_and_its_derivative_runs_over_the_steps_taken() -> None:
    # k <- k * x until k > 10, at most 50 times: from 1 by 2 that is 16 = x^4
    step = function([((), F), ((), F)], lambda x, k: [less(k.like(10.0), k * x), k * x])

    def loss(x: Expr) -> list[Expr]:
        found = several(
            x.b, "Scan", x, x.like(1.0), function=0, n_consts=1, n_carry=1, length=50, until=True
        )
        return [found[0]]

    main = function([((), F)], loss, (step,))
    feeds = {"x0": np.array(2.0), "v/2/x0": np.array(1.0)}
    got = answers(graph(step, main), feeds, ("x0",))
    assert got["value/o0"] == 16.0
    assert got["grad/1/x0"] == pytest.approx(32.0)
    assert got["hvp/2/x0"] == pytest.approx(48.0)


@pytest.mark.parametrize("x", [0.7, -0.7])
def test_cond_differentiates_the_branch_taken(x: float) -> None:
    yes = function([((), F)], lambda t: [t * t * t])
    no = function([((), F)], lambda t: [sin(t)])

    def loss(t: Expr) -> list[Expr]:
        return several(t.b, "Cond", less(t.like(0.0), t), t, function=0, otherwise=1)

    main = function([((), F)], loss, (yes, no))
    feeds = {"x0": np.array(x), "v/2/x0": np.array(1.0)}
    got = answers(graph(yes, no, main), feeds, ("x0",))
    first, second = (3 * x * x, 6 * x) if x > 0 else (np.cos(x), -np.sin(x))
    assert got["grad/1/x0"] == pytest.approx(first)
    assert got["hvp/2/x0"] == pytest.approx(second)


def _root(**attrs: Any) -> tuple[Function, Function]:
    # x = cos(a x): an implicit function of a
    step = function([((), F), ((), F)], lambda a, x: [cos(a * x)])

    def loss(a: Expr) -> list[Expr]:
        given = {
            "max_iter": 200,
            "tol": 1e-14,
            "adjoint_max_iter": 200,
            "adjoint_tol": 1e-14,
            **attrs,
        }
        found = several(a.b, "FixedPoint", a, a.like(0.5), function=0, n_consts=1, **given)
        return [found[0]]

    return step, function([((), F)], loss, (step,))


def test_fixed_point_by_the_implicit_function_theorem_to_the_third_order() -> None:
    a = 0.8
    step, main = _root()
    got = answers(graph(step, main), {"x0": np.array(a), "v/2/x0": np.array(1.0)}, ("x0",))
    x = float(got["value/o0"])
    assert x == pytest.approx(np.cos(a * x), abs=1e-13)
    s, c = np.sin(a * x), np.cos(a * x)
    first = -s * x / (1 + a * s)
    # differentiate x' (1 + a s) = -s x once more
    u = x + a * first
    second = (-c * u * x - s * first - first * (s + a * c * u)) / (1 + a * s)
    assert got["grad/1/x0"] == pytest.approx(first, rel=1e-11)
    assert got["hvp/2/x0"] == pytest.approx(second, rel=1e-10)
    g = grad_of_grad(main, (step,), ((), F))
    third = run(compile_request(g, [Request(Kind.VALUE)]), 1, {"x0": np.array(a)})["value/o0"]
    e = 1e-4

    def hess(at: float) -> float:
        feeds = {"x0": np.array(at), "v/2/x0": np.array(1.0)}
        return float(answers(graph(step, main), feeds, ("x0",))["hvp/2/x0"])

    assert third == pytest.approx((hess(a + e) - hess(a - e)) / (2 * e), rel=1e-6)


def test_fixed_point_memory_does_not_grow_with_iterations() -> None:
    def peak(iterations: int) -> int:
        step, main = _root(max_iter=iterations, adjoint_max_iter=iterations)
        program = compile_request(graph(step, main), [Request(Kind.GRAD, ("x0",))])
        return program.layout(1).peak_bytes

    assert peak(10) == peak(10_000)


def test_a_fixed_point_that_does_not_converge_says_so() -> None:
    step, main = _root(max_iter=2)
    program = compile_request(graph(step, main), [Request(Kind.VALUE)])
    with pytest.raises(NotConverged, match="allow more iterations"):
        run(program, 1, {"x0": np.array(0.8)})


def test_checkpoint_keeps_bits_and_lowers_the_peak() -> None:
    n = 50_000
    layer = function([((n,), F)], lambda x: [sin(exp(sin(exp(sin(x)))))])

    def net(op: str) -> Callable[[Expr], list[Expr]]:
        def loss(x: Expr) -> list[Expr]:
            for _ in range(6):
                x = several(x.b, op, x, function=0)[0]
            return [reduce_sum(x, (0,))]

        return loss

    x = np.random.default_rng(0).normal(size=n)
    programs = [
        compile_request(
            graph(layer, function([((n,), F)], net(op), (layer,))), [Request(Kind.GRAD, ("x0",))]
        )
        for op in ("Call", "Checkpoint")
    ]
    plain, kept = (run(p, 1, {"x0": x})["grad/0/x0"] for p in programs)
    assert plain.tobytes() == kept.tobytes()
    assert programs[1].layout(1).peak_bytes < 0.6 * programs[0].layout(1).peak_bytes
    assert len(programs[1].stages[0].function) > len(programs[0].stages[0].function)


def test_custom_vjp_is_used_backwards_and_transposed_forwards() -> None:
    # y = exp(x), with a rule that sends 3 ct x
    body = function([((), F)], lambda x: [exp(x)])
    rule = function([((), F), ((), F)], lambda x, ct: [ct * x * 3.0])

    def loss(x: Expr) -> list[Expr]:
        return several(x.b, "CustomVjp", x, function=0, otherwise=1)

    main = function([((), F)], loss, (body, rule))
    g = graph(body, rule, main)
    requests = [Request(Kind.VALUE), Request(Kind.GRAD, ("x0",)), Request(Kind.JVP, ("x0",))]
    got = run(compile_request(g, requests), 1, {"x0": np.array(2.0), "t/2/x0": np.array(0.5)})
    assert got["value/o0"] == pytest.approx(np.exp(2.0))
    assert got["grad/1/x0"] == 6.0
    assert got["jvp/2/o0"] == 3.0


N = BatchDim()


@pytest.mark.parametrize("rows", [1, 7, 8, 16])
def test_a_recurrent_network_splits_its_batch(rows: int) -> None:
    # carry (N, 3) through T = 4 steps of slices (N, 2), mean over the batch
    step = function(
        [((3, 3), F), ((2, 3), F), ((N, 3), F), ((N, 2), F)],
        lambda w, u, h, x: [tanh(h @ w + x @ u)],
    )

    def loss(w: Expr, u: Expr, xs: Expr) -> list[Expr]:
        zero = Expr(w.b, w.b.constant(0.0, F, (N, 3)))
        (h,) = several(w.b, "Scan", w, u, zero, xs, function=0, n_consts=2, n_carry=1, length=4)
        size = apply("Cast", Expr(w.b, w.b.add("DimSize")), dtype=F)
        return [reduce_sum(h * h, (0, 1)) / size]

    main = function([((3, 3), F), ((2, 3), F), ((4, N, 2), F)], loss, (step,))
    g = graph(step, main)
    rng = np.random.default_rng(2)
    feeds = {
        "x0": rng.normal(size=(3, 3)),
        "x1": rng.normal(size=(2, 3)),
        "x2": rng.normal(size=(4, 19, 2)),
    }
    feeds |= {"v/2/x0": rng.normal(size=(3, 3)), "v/2/x1": rng.normal(size=(2, 3))}
    requests = [
        Request(Kind.VALUE),
        Request(Kind.GRAD, ("x0", "x1")),
        Request(Kind.HVP, ("x0", "x1")),
    ]
    program = compile_request(g, requests, microshard=rows)
    assert not program.notices
    whole = run(compile_request(g, requests, microshard=64), 19, feeds)
    first = run(program, 19, feeds)
    for key, value in first.items():
        np.testing.assert_allclose(value, whole[key], rtol=1e-11, atol=1e-13)
    for workers in (2, 3):
        again = run(program, 19, feeds, workers=workers)
        assert all(first[k].tobytes() == again[k].tobytes() for k in first)
    # complex step of the plain loop
    w, u, xs = feeds["x0"], feeds["x1"], feeds["x2"]

    def plain(w: Any, u: Any) -> Any:
        h = np.zeros((19, 3))
        for x in xs:
            h = np.tanh(h @ w + x @ u)
        return np.sum(h * h) / 19

    d = rng.normal(size=(3, 3))
    slope = plain(w + 1e-30j * d, u).imag / 1e-30
    assert np.sum(first["grad/1/x0"] * d) == pytest.approx(slope, rel=1e-11)


def test_batch_leaves_inside_a_body_mean_the_whole_batch() -> None:
    # each step adds the global example index over N
    def body(k: Expr) -> list[Expr]:
        index = Expr(k.b, k.b.add("Iota", dtype=F, shape=(N,), axis=0))
        size = apply("Cast", Expr(k.b, k.b.add("DimSize")), dtype=F)
        return [k + index / size]

    step = function([((N,), F)], body)

    def loss(x: Expr) -> list[Expr]:
        return several(x.b, "Scan", x, function=0, n_carry=1, length=3)

    main = function([((N,), F)], loss, (step,))
    program = compile_request(graph(step, main), [Request(Kind.VALUE)], microshard=4)
    assert program.stages[0].sharded
    x = np.arange(10.0)
    got = run(program, 10, {"x0": x}, workers=2)["value/o0"]
    np.testing.assert_allclose(got, x + 3 * np.arange(10) / 10, rtol=1e-14)


def test_a_body_in_which_examples_meet_is_coupled() -> None:
    def body(k: Expr) -> list[Expr]:
        return [k - reduce_sum(k, (0,))]

    step = function([((N,), F)], body)

    def loss(x: Expr) -> list[Expr]:
        return several(x.b, "Scan", x, function=0, n_carry=1, length=2)

    main = function([((N,), F)], loss, (step,))
    program = compile_request(graph(step, main), [Request(Kind.VALUE)])
    assert program.notices and program.notices[0].code == "COUPLED"
    x = np.arange(4.0)
    got = run(program, 4, {"x0": x})["value/o0"]
    once = x - x.sum()
    np.testing.assert_allclose(got, once - once.sum())


def test_examples_of_a_fixed_point_converge_alone() -> None:
    # x_i = cos(a_i x_i): in a batch and alone the same bits
    step = function([((N,), F), ((N,), F)], lambda a, x: [cos(a * x)])

    def loss(a: Expr) -> list[Expr]:
        start = Expr(a.b, a.b.constant(0.5, F, (N,)))
        attrs = {"max_iter": 200, "tol": 1e-12, "adjoint_max_iter": 200, "adjoint_tol": 1e-12}
        found = several(
            a.b, "FixedPoint", a, start, function=0, n_consts=1, per_example=True, **attrs
        )
        return [found[0]]

    main = function([((N,), F)], loss, (step,))
    program = compile_request(graph(step, main), [Request(Kind.VALUE)], microshard=3)
    assert not program.notices
    a = np.linspace(0.2, 1.1, 8)
    together = run(program, 8, {"x0": a}, workers=2)["value/o0"]
    alone = [run(program, 1, {"x0": a[i : i + 1]})["value/o0"][0] for i in range(8)]
    assert together.tobytes() == np.array(alone).tobytes()
