"""Requests of one pass and of many together in one program."""

import numpy as np

from chainrule.ir.expr import Expr, sin, tanh
from chainrule_server.engine.answers import answer
from chainrule_server.engine.compiler import compile_request
from chainrule_server.engine.requests import Kind, Request
from support.engine_run import run
from support.losses import total
from support.written import f8, graph

X = np.array([0.3, -1.2, 0.9])


def _body(x: Expr, w: Expr) -> dict[str, Expr]:
    return {"y": tanh(x), "loss": total(sin(x * w))}


GRAPH = graph({"x": f8(3), "w": f8()}, _body)


def test_each_answer_has_the_number_of_its_request() -> None:
    ask = [
        Request(Kind.JACOBIAN, ("x",), ("y",)),
        Request(Kind.VALUE),
        Request(Kind.VJP, ("x",), ("y",)),
        Request(Kind.VJP, ("x",), ("y",), lanes=2),
        Request(Kind.HESSIAN, ("w",), ("loss",)),
        Request(Kind.GRAD, ("w",), ("loss",)),
        Request(Kind.HVP, ("x",), ("loss",)),
    ]
    ct, many, v = np.array([1.0, 2.0, 3.0]), np.ones((2, 3)), np.ones(3)
    feeds = {"x": X, "w": np.array(0.5), "ct/2/y": ct, "ct/3/y": many, "v/6/x": v}
    got = run(compile_request(GRAPH, ask), 1, feeds)
    slope = 1 - np.tanh(X) ** 2
    want = {
        "jacobian/0/0/0": np.diag(slope),
        "value/y": np.tanh(X),
        "value/loss": np.sin(X / 2).sum(),
        "vjp/2/x": ct * slope,
        "vjp/3/x": np.stack([slope, slope]),
        "hessian/4/0/0": -(X**2 * np.sin(X / 2)).sum(),
        "grad/5/w": (X * np.cos(X / 2)).sum(),
        "hvp/6/x": -np.sin(X / 2) / 4,
    }
    assert got.keys() == want.keys()
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-13, atol=1e-15, err_msg=name)


def test_the_forward_is_shared_between_all_of_them() -> None:
    ask = [Request(Kind.VALUE), Request(Kind.GRAD, ("x",), ("loss",))]
    ask += [Request(Kind.JACOBIAN, ("x",), ("y",)), Request(Kind.HESSIAN, ("x",), ("loss",))]
    ops = answer(GRAPH, ask).function.ops
    assert (ops.count("Tanh"), ops.count("Sin"), ops.count("Cos")) == (1, 1, 1)
