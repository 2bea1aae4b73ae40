"""A split batch: the numbers of the whole, the same bits for any pool, no work twice."""

import numpy as np
import pytest

from chainrule.ir.avals import Aval, DType
from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr, cast, reduce_sum, reshape, sin
from chainrule.ir.graph import Graph
from chainrule_server.engine.compiler import compile_main, compile_request
from chainrule_server.engine.lower import lower
from chainrule_server.engine.program import Port, Program
from chainrule_server.engine.requests import Kind, Request, extend
from chainrule_server.engine.stages import output_key, unsplit
from chainrule_server.engine.structure import flatten
from support.engine_run import Array, run, same_bits
from support.losses import COUPLED, MAXIMUM, SPLIT, Loss, error, n_of, total
from support.written import N, f8, feeds_for, function, graph

ROWS = 19  # ragged for every microshard size below


def requests_of(loss: Loss) -> tuple[Request, ...]:
    return (Request(Kind.VALUE), Request(Kind.GRAD, loss.wrt), Request(Kind.HVP, loss.wrt))


def feeds_of(g: Graph, loss: Loss) -> dict[str, Array]:
    feeds = feeds_for(g.main, ROWS, seed=7)
    for name in ("m", "v"):
        if name in feeds:
            feeds[name] = np.abs(feeds[name])
    if "m" in feeds:
        feeds["m"][::3] = 0.0
    return feeds | {f"v/2/{name}": np.cos(feeds[name]) for name in loss.wrt}


def whole(g: Graph) -> Program:
    """The program that a coupled graph would get."""
    flat = lower(flatten(g))
    split = compile_main(g, {})
    outputs = tuple(Port(p.name, p.aval, p.place, output_key(p.name)) for p in split.outputs)
    return Program(split.inputs, outputs, unsplit(flat), None)


@pytest.mark.parametrize("loss", SPLIT, ids=lambda loss: loss.name)
def test_split_equals_whole_and_no_pool_moves_a_bit(loss: Loss) -> None:
    g = graph(loss.inputs, loss.body)
    feeds = feeds_of(g, loss)
    want = run(whole(extend(g, requests_of(loss))), ROWS, feeds)
    for rows in (1, 7, 8, 16):
        program = compile_request(g, requests_of(loss), microshard=rows)
        assert not program.notices
        assert len(program.layout(ROWS).microshards) == -(-ROWS // rows)
        got = run(program, ROWS, feeds)
        assert got.keys() == want.keys()
        for name, value in want.items():
            np.testing.assert_allclose(got[name], value, rtol=1e-12, atol=1e-13, err_msg=name)
        for workers in (2, 3, 5):
            assert same_bits(got, run(program, ROWS, feeds, workers=workers))


@pytest.mark.parametrize("loss", COUPLED, ids=lambda loss: loss.name)
def test_a_graph_that_couples_examples_runs_whole_with_a_notice(loss: Loss) -> None:
    b = Builder()
    ins = []
    for name, aval in loss.inputs.items():
        ins.append(Expr(b, b.input(name, aval)))
    b.label, b.line = "h", "model.py:12"
    out = loss.body(*ins)
    assert isinstance(out, Expr)
    g = Graph((b.finish([out.id], ["loss"]),), (b.debug(),))
    program = compile_request(g, requests_of(loss), microshard=8)
    (notice,) = program.notices
    assert (notice.code, notice.label, notice.line) == ("COUPLED", "h", "model.py:12")
    assert [stage.sharded for stage in program.stages] == [False]
    feeds = feeds_of(g, loss)
    got = run(program, ROWS, feeds)
    step = 1e-6 * feeds["v/2/w"]
    up, down = (run(program, ROWS, {**feeds, "w": feeds["w"] + s}) for s in (step, -step))
    slope = (up["value/loss"] - down["value/loss"]) / 2e-6
    np.testing.assert_allclose(np.sum(got["grad/1/w"] * feeds["v/2/w"]), slope, rtol=1e-7)
    turn = (up["grad/1/w"] - down["grad/1/w"]) / 2e-6
    np.testing.assert_allclose(got["hvp/2/w"], turn, rtol=1e-6, atol=1e-7)


def test_a_maximum_over_the_batch_splits_and_its_gradient_runs_whole() -> None:
    g = graph(MAXIMUM.inputs, MAXIMUM.body)
    feeds = feeds_of(g, MAXIMUM)
    ask = requests_of(MAXIMUM)
    value = compile_request(g, ask[:1], microshard=4)
    assert not value.notices
    want = run(whole(extend(g, ask)), ROWS, feeds)
    got = run(value, ROWS, {k: v for k, v in feeds.items() if "/" not in k}, workers=3)
    np.testing.assert_allclose(got["value/out"], want["value/out"], rtol=1e-13)
    (notice,) = compile_request(g, ask, microshard=4).notices
    assert "meet 2 times" in notice.text


def test_random_masks_are_the_same_for_any_microshard() -> None:
    def body(key: Expr, x: Expr) -> dict[str, Expr]:
        index = Expr(x.b, x.b.add("Iota", dtype=DType.INT64, shape=(N, 3), axis=0))
        column = Expr(x.b, x.b.add("Iota", dtype=DType.INT64, shape=(N, 3), axis=1))
        bits = Expr(x.b, x.b.add("RandomBits", key.id, (index * 4 + column).id, stream=2))
        return {"bits": bits, "sum": reduce_sum(cast(bits, DType.FLOAT64) * x, (0,))}

    g = graph({"$key": Aval(DType.UINT32, (2,)), "x": f8(N, 3)}, body)
    feeds: dict[str, Array] = {"$key": np.array([3, 4], np.uint32), "x": np.ones((ROWS, 3))}
    found = [
        run(compile_main(g, {}, microshard=rows), ROWS, feeds, workers=2) for rows in (1, 5, 8, 19)
    ]
    assert len({f["bits"].tobytes() for f in found}) == 1
    assert len(np.unique(found[0]["bits"])) == 3 * ROWS


def test_a_masked_mean_runs_the_forward_pass_once() -> None:
    def plain(w: Expr, x: Expr, y: Expr, m: Expr) -> Expr:
        return total(error(w, x, y) * m) / n_of(x)

    def masked(w: Expr, x: Expr, y: Expr, m: Expr) -> Expr:
        return total(error(w, x, y) * m) / total(m)

    inputs = {"w": f8(3, 2), "x": f8(N, 3), "y": f8(N, 2), "m": f8(N)}
    ask = [Request(Kind.VALUE), Request(Kind.GRAD, ("w",))]
    counts = []
    for body in (plain, masked):
        program = compile_request(graph(inputs, body), ask, microshard=8)
        ops = [op for stage in program.stages if stage.sharded for op in stage.function.ops]
        counts.append((ops.count("MatMul"), ops.count("Tanh")))
    assert counts == [(2, 1), (2, 1)]


@pytest.mark.parametrize("loss", SPLIT, ids=lambda loss: loss.name)
def test_a_stage_reads_inputs_and_what_earlier_stages_wrote(loss: Loss) -> None:
    program = compile_request(graph(loss.inputs, loss.body), requests_of(loss), microshard=4)
    known = {port.key for port in program.inputs} | {"$n", "$offset"}
    for stage in program.stages:
        assert set(stage.inputs) <= known
        assert not known & set(stage.outputs)
        known |= set(stage.outputs)
    assert {port.key for port in program.outputs} <= known


def test_a_costly_replicated_value_is_computed_once_before_the_shards() -> None:
    def body(w: Expr, x: Expr) -> Expr:
        big = w @ w
        return total(x @ (big @ big))

    program = compile_main(graph({"w": f8(40, 40), "x": f8(N, 40)}, body), {}, microshard=8)
    assert [stage.sharded for stage in program.stages] == [False, True]
    assert program.stages[1].function.ops.count("MatMul") == 1


def test_a_round_in_the_middle_is_one_round() -> None:
    def body(x: Expr) -> Expr:
        mean = total(x) / n_of(x)
        return total(sin(x - mean))

    program = compile_main(graph({"x": f8(N)}, body), {}, microshard=4)
    assert [stage.sharded for stage in program.stages] == [True, False, True]
    x = np.linspace(0.0, 3.0, ROWS) ** 2
    got = run(program, ROWS, {"x": x}, workers=3)
    np.testing.assert_allclose(got["out"], np.sin(x - x.mean()).sum(), rtol=1e-13)


def test_a_loop_may_give_a_sum_over_examples_beside_one_value_an_example() -> None:
    """Its outputs are combined at different times, so one may be known where another is made."""
    step = function({"x": f8(N), "s": f8()}, lambda x, s: {"sum": total(sin(x) * s), "each": x * s})

    def body(x: Expr, s: Expr) -> dict[str, Expr]:
        attrs = {"function": 0, "n_consts": 1, "n_carry": 0, "length": 3}
        attrs |= {"reverse": False, "until": False, "limit": False}
        sums, each = (Expr(x.b, i) for i in x.b.add_multi("Scan", x.id, s.id, **attrs))
        return {"both": reduce_sum(each * reshape(sums, (3, 1)), (0,)), "sums": sums}

    g = graph({"x": f8(N), "s": f8(3)}, body, (step,))
    x, s = np.linspace(-1.0, 1.5, 19), np.array([1.0, 2.0, -3.0])
    got = run(compile_main(g, {}, microshard=4), 19, {"x": x, "s": s}, workers=2)
    sums = np.sin(x).sum() * s
    np.testing.assert_allclose(got["sums"], sums, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(got["both"], x * (s * sums).sum(), rtol=1e-13, atol=1e-14)
