"""From a graph and a wish to a program: names, notices, microshards."""

import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.errors import ChainruleError, ErrorCode, InvalidGraph
from chainrule.ir.avals import Aval, DType
from chainrule.ir.builder import Builder
from chainrule.ir.checker import check
from chainrule.ir.expr import Expr, cos, reduce_sum, sin
from chainrule.ir.graph import Graph
from chainrule.ir.primitives import PRIMITIVES
from chainrule_server.engine.compiler import compile_main, compile_request
from chainrule_server.engine.program import STATE_WRITE, Place
from chainrule_server.engine.requests import Kind, Request
from support.engine_run import run
from support.losses import SPLIT, n_of, total
from support.random_graphs import random_function
from support.written import N, f8, graph


@pytest.mark.parametrize("name", ["~3", "$n", "$offset"])
def test_names_of_the_engine_are_refused(name: str) -> None:
    with pytest.raises(InvalidGraph, match=r"engine's own; give the input another name") as caught:
        compile_main(graph({name: f8(N)}, sin), {})
    assert caught.value.code is ErrorCode.BAD_NAME


def test_outputs_may_be_called_like_inputs_and_like_values_inside() -> None:
    def body(x: Expr) -> dict[str, Expr]:
        return {"~2": reduce_sum(sin(x), (0,)), "x": cos(x), "~1": sin(x)}

    x = np.linspace(0.0, 1.0, 5)
    for inputs, value in (({"x": f8(N)}, x), ({"x": f8(5)}, x)):
        got = run(compile_main(graph(inputs, body), {}, microshard=2), 5, {"x": value})
        np.testing.assert_allclose(got["x"], np.cos(x), rtol=1e-15)
        np.testing.assert_allclose(got["~1"], np.sin(x), rtol=1e-15)
        np.testing.assert_allclose(got["~2"], np.sin(x).sum(), rtol=1e-15)


def test_a_value_may_be_asked_of_a_graph_with_an_input_of_that_name() -> None:
    g = graph({"x": f8(), "value/out": f8()}, lambda x, v: sin(x) * v)
    program = compile_request(g, [Request(Kind.VALUE)])
    got = run(program, 1, {"x": np.array(1.0), "value/out": np.array(2.0)})
    np.testing.assert_allclose(got["value/out"], 2 * np.sin(1.0), rtol=1e-15)


def test_a_graph_without_a_batch_is_one_stage() -> None:
    program = compile_main(graph({"x": f8(3)}, sin), {})
    assert [stage.sharded for stage in program.stages] == [False]
    assert not program.is_batched
    assert program.rows is None


def test_the_notice_of_a_coupled_graph_names_op_and_place() -> None:
    b = Builder()
    x = Expr(b, b.input("x", f8(N, 2)))
    b.label, b.line = "similarity", "loss.py:40"
    out = reduce_sum(x @ x.mT, (0, 1))
    program = compile_main(Graph((b.finish([out.id], ["out"]),), (b.debug(),)), {})
    (notice,) = program.notices
    assert notice.code == "COUPLED"
    assert notice.text.startswith("the batch runs unsplit on one worker: MatMul gives float64[N,N]")
    assert (notice.label, notice.line) == ("similarity", "loss.py:40")


def test_an_unlabelled_row_is_named_by_its_op() -> None:
    program = compile_main(graph({"x": f8(N, 2)}, lambda x: total(x @ x.mT)), {})
    assert [(n.label, n.line) for n in program.notices] == [("MatMul", "")]


def test_microshards_come_from_the_graph_and_the_batch_alone() -> None:
    loss = SPLIT[0]
    program = compile_request(graph(loss.inputs, loss.body), [Request(Kind.VALUE)])
    assert program.rows_at(1000) == program.rows_at(1000)
    for n in (1, 63, 64, 65, 1000, 100_000):
        shards = program.microshards(n)
        assert shards[0][0] == 0
        assert shards[-1][1] == n
        assert all(a[1] == b[0] for a, b in pairwise(shards))
        assert {hi - lo for lo, hi in shards[:-1]} <= {program.rows_at(n)}
    fixed = compile_request(graph(loss.inputs, loss.body), [Request(Kind.VALUE)], microshard=7)
    assert fixed.microshards(15) == ((0, 7), (7, 14), (14, 15))


def test_outputs_in_the_state_are_written_by_an_unsharded_stage() -> None:
    g = graph(
        {"w": f8(3), "x": f8(N, 3)},
        lambda w, x: {"w": w - reduce_sum(x * w, (0,)) / n_of(x), "sum": reduce_sum(x, (0,))},
    )
    places = {"w": Place(STATE_WRITE, 64), "sum": Place(STATE_WRITE, 128)}
    program = compile_main(g, places, microshard=2)
    assert not program.stages[-1].sharded
    x = np.arange(15.0).reshape(5, 3)
    got = run(program, 5, {"w": np.ones(3), "x": x}, state=np.zeros(256, np.uint8), workers=2)
    np.testing.assert_allclose(got["w"], 1 - x.mean(0), rtol=1e-14)
    np.testing.assert_array_equal(got["sum"], x.sum(0))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_whatever_passes_the_checker_runs_or_is_refused_with_a_reason(seed: int, how: int) -> None:
    r = random.Random(how)
    f = random_function(random.Random(seed), nodes=5, batched=seed % 2 == 0)
    row = r.randrange(f.n_inputs, len(f))
    same = [op for op in PRIMITIVES if PRIMITIVES[op].arity == len(f.inputs[row])]
    changed = (
        replace(f, ops=(*f.ops[:row], r.choice(same), *f.ops[row + 1 :])),
        replace(
            f,
            inputs=(
                *f.inputs[:row],
                tuple(r.randrange(row) for _ in f.inputs[row]),
                *f.inputs[row + 1 :],
            ),
        ),
        replace(f, outputs=tuple(r.randrange(len(f)) for _ in f.outputs)),
        replace(f, avals=(*f.avals[:1], Aval(DType.FLOAT64, (N, N)), *f.avals[2:])),
    )
    g = Graph((r.choice(changed),))
    wrt = tuple(n for n, a in zip(f.input_names, f.in_avals, strict=True) if a.dtype.is_float)
    try:
        check(g)
        ask = [Request(Kind.VALUE), Request(Kind.VJP, wrt), Request(Kind.JVP, wrt)]
        program = compile_request(g, ask, microshard=2)
        feeds = {}
        for port in program.inputs:
            aval = port.aval.concrete(3)
            feeds[port.name] = np.ones(aval.dims, aval.dtype.numpy)
        run(program, 3, feeds, workers=2)
    except ChainruleError as error:
        assert error.code is not ErrorCode.INTERNAL
