"""Many derivatives at once against closed forms: Jacobians either way, Hessians, gradients an example."""

import numpy as np
import pytest

from chainrule.errors import ChainruleError, ErrorCode
from chainrule.ir.expr import Expr, cast, reduce_sum, sin, tanh
from chainrule_server.engine.compiler import compile_request
from chainrule_server.engine.program import Program
from chainrule_server.engine.requests import Kind, Request
from support.engine_run import run, same_bits
from support.losses import n_of, total
from support.written import N, f8, graph, i8

X = np.array([0.3, -1.2, 0.9])
W = np.arange(12.0).reshape(4, 3) / 9


def _body(x: Expr, w: Expr, k: Expr) -> dict[str, Expr]:
    return {
        "y": tanh(reduce_sum(w * x, (1,))),
        "z": sin(x),
        "count": k,
        "loss": total(sin(x) * x) * total(w) + cast(k, x.dtype),
    }


GRAPH = graph({"x": f8(3), "w": f8(4, 3), "k": i8()}, _body)
FEEDS = {"x": X, "w": W, "k": np.array(2)}
SLOPE = 1 - np.tanh(W @ X) ** 2
BATCHED = graph(
    {"w": f8(3), "x": f8(N, 3)},
    lambda w, x: {"loss": total(tanh(reduce_sum(x * w, (1,)))) / n_of(x), "y": tanh(x * w)},
)
ROWS = np.random.default_rng(0).normal(size=(100, 3))


def kernels(program: Program) -> list[str]:
    return [op for stage in program.stages for op in stage.function.ops]


def test_a_jacobian_has_the_axes_of_the_output_first() -> None:
    ask = [Request(Kind.JACOBIAN, ("x", "w"), ("y", "z"))]
    got = run(compile_request(GRAPH, ask), 1, FEEDS)
    want = {
        "jacobian/0/0/0": SLOPE[:, None] * W,
        "jacobian/0/0/1": SLOPE[:, None, None] * np.eye(4)[:, :, None] * X,
        "jacobian/0/1/0": np.diag(np.cos(X)),
        "jacobian/0/1/1": np.zeros((3, 4, 3)),
    }
    assert got.keys() == want.keys()
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-14, atol=1e-16, err_msg=name)


@pytest.mark.parametrize(("inputs", "outputs"), [(2, 300), (300, 2)])
def test_the_cheaper_direction_is_taken(inputs: int, outputs: int) -> None:
    """Few inputs go forwards, few outputs backwards; work is that of the shorter side."""
    square = graph({"x": f8(inputs), "a": f8(outputs, inputs)}, _layer)
    ask = [Request(Kind.JACOBIAN, ("x",))]
    value = compile_request(square, [Request(Kind.VALUE)]).layout().flops
    assert compile_request(square, ask).layout().flops < 10 * min(inputs, outputs) * value


def _layer(x: Expr, a: Expr) -> Expr:
    return tanh(reduce_sum(a * x, (1,)))


def test_the_forward_runs_once_whatever_the_lanes() -> None:
    ask = [Request(Kind.VALUE), Request(Kind.JACOBIAN, ("x",), ("y",))]
    assert kernels(compile_request(GRAPH, ask)).count("Tanh") == 1


def test_a_hessian_is_symmetric_and_that_of_the_closed_form() -> None:
    got = run(compile_request(GRAPH, [Request(Kind.HESSIAN, ("x", "w"), ("loss",))]), 1, FEEDS)
    diagonal = np.diag(2 * np.cos(X) - X * np.sin(X)) * W.sum()
    np.testing.assert_allclose(got["hessian/0/0/0"], diagonal, rtol=1e-14)
    mixed = np.broadcast_to((np.sin(X) + X * np.cos(X))[:, None, None], (3, 4, 3))
    np.testing.assert_allclose(got["hessian/0/0/1"], mixed, rtol=1e-14)
    np.testing.assert_allclose(got["hessian/0/1/0"], np.moveaxis(mixed, 0, 2), rtol=1e-14)
    np.testing.assert_array_equal(got["hessian/0/1/1"], np.zeros((4, 3, 4, 3)))


@pytest.mark.parametrize("kind", [Kind.VJP, Kind.JVP, Kind.HVP])
def test_many_seeds_are_the_single_ones_side_by_side(kind: Kind) -> None:
    outs = ("loss",) if kind is Kind.HVP else ("y", "z")
    rng = np.random.default_rng(1)
    many = compile_request(GRAPH, [Request(kind, ("x", "w"), outs, lanes=5)])
    extra = {p.name: rng.normal(size=p.aval.dims) for p in many.inputs if p.name not in FEEDS}
    got = run(many, 1, FEEDS | extra)
    single = compile_request(GRAPH, [Request(kind, ("x", "w"), outs)])
    for i in range(5):
        one = run(single, 1, FEEDS | {name: a[i] for name, a in extra.items()})
        for name, value in one.items():
            np.testing.assert_allclose(got[name][i], value, rtol=1e-13, atol=1e-15)


def test_an_example_s_gradient_is_that_of_a_batch_of_one() -> None:
    program = compile_request(BATCHED, [Request(Kind.PER_EXAMPLE, ("w", "x"))], microshard=16)
    assert not program.notices
    got = run(program, 100, {"w": X, "x": ROWS}, workers=2)
    single = compile_request(BATCHED, [Request(Kind.GRAD, ("w", "x"))])
    for i in range(100):
        one = run(single, 1, {"w": X, "x": ROWS[i : i + 1]})
        np.testing.assert_allclose(got["per_example/0/w"][i], one["grad/0/w"], rtol=1e-12)
        np.testing.assert_allclose(got["per_example/0/x"][i], one["grad/0/x"], rtol=1e-12)
    assert "Scan" not in kernels(program)


def test_kernel_calls_do_not_grow_with_the_examples() -> None:
    (stage,) = compile_request(BATCHED, [Request(Kind.PER_EXAMPLE, ("w", "x"))]).stages
    assert len(stage.plan(2).order) == len(stage.plan(500).order) > 5


def test_a_jacobian_may_have_the_batch_on_one_side() -> None:
    program = compile_request(BATCHED, [Request(Kind.JACOBIAN, ("w",), ("y",))], microshard=16)
    assert not program.notices
    got = run(program, 100, {"w": X, "x": ROWS}, workers=2)["jacobian/0/0/0"]
    want = ((1 - np.tanh(ROWS * X) ** 2) * ROWS)[:, :, None] * np.eye(3)
    np.testing.assert_allclose(got, want, rtol=1e-13)


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (Request(Kind.JACOBIAN, ("x",), ("y",)), ErrorCode.BATCH_MISMATCH),
        (Request(Kind.HESSIAN, ("x",)), ErrorCode.BATCH_MISMATCH),
        (Request(Kind.HESSIAN, ("w",), ("y",)), ErrorCode.BAD_LOSS),
        (Request(Kind.JACOBIAN, ("w", "w"), ("y",)), ErrorCode.ATTR_RANGE),
        (Request(Kind.JACOBIAN, ("nowhere",)), ErrorCode.BAD_REF),
        (Request(Kind.PER_EXAMPLE, ("w",), ("nowhere",)), ErrorCode.BAD_REF),
    ],
)
def test_what_can_not_be_asked_of_a_batch(ask: Request, code: ErrorCode) -> None:
    with pytest.raises(ChainruleError) as caught:
        compile_request(BATCHED, [ask])
    assert caught.value.code is code
    assert caught.value.cure


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (Request(Kind.PER_EXAMPLE, ("x",), ("loss",)), ErrorCode.BATCH_MISMATCH),
        (Request(Kind.JACOBIAN, ("k",), ("y",)), ErrorCode.NOT_DIFFERENTIABLE),
        (Request(Kind.VJP, ("x",), ("count",), lanes=2), ErrorCode.NOT_DIFFERENTIABLE),
    ],
)
def test_what_can_not_be_asked_of_single_values(ask: Request, code: ErrorCode) -> None:
    with pytest.raises(ChainruleError) as caught:
        compile_request(GRAPH, [ask])
    assert caught.value.code is code


def test_no_pool_moves_a_bit() -> None:
    ask = [
        Request(Kind.PER_EXAMPLE, ("w",), ("loss",)),
        Request(Kind.JACOBIAN, ("w",), ("y",)),
        Request(Kind.HESSIAN, ("w",), ("loss",)),
    ]
    program = compile_request(BATCHED, ask, microshard=7)
    feeds = {"w": X, "x": ROWS}
    alone = run(program, 100, feeds)
    assert all(same_bits(alone, run(program, 100, feeds, workers=k)) for k in (2, 3))
