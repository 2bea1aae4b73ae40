"""A program as data: bytes and back, layouts, what it will cost."""

from itertools import pairwise

import numpy as np
import pytest

from chainrule.errors import ChainruleError, ErrorCode
from chainrule.ir.avals import Aval, BatchDim, DType
from chainrule.ir.expr import Expr, reduce_max, reduce_sum, sin
from chainrule_server.engine.compiler import compile_main, compile_request
from chainrule_server.engine.program import (
    BOARD,
    MAX_SHARDS,
    STATE_READ,
    STATE_WRITE,
    Place,
    Program,
)
from chainrule_server.engine.requests import Kind, Request
from support.engine_run import run
from support.losses import SPLIT, Loss, total
from support.written import N, f4, f8, feeds_for, graph


def program_of(loss: Loss, rows: int = 4) -> Program:
    ask = [Request(Kind.VALUE), Request(Kind.GRAD, loss.wrt)]
    return compile_request(graph(loss.inputs, loss.body), ask, microshard=rows)


@pytest.mark.parametrize("loss", SPLIT, ids=lambda loss: loss.name)
def test_a_program_comes_back_from_its_bytes(loss: Loss) -> None:
    program = program_of(loss)
    found = Program.decode(program.encode())
    assert found.encode() == program.encode()
    assert (found.inputs, found.outputs, found.rows) == (
        program.inputs,
        program.outputs,
        program.rows,
    )
    for a, b in zip(found.stages, program.stages, strict=True):
        assert (a.inputs, a.outputs, a.combines, a.outers) == (
            b.inputs,
            b.outputs,
            b.combines,
            b.outers,
        )
    assert found.layout(9) == program.layout(9)


def test_equal_programs_have_equal_bytes_and_others_others() -> None:
    first, second = SPLIT[0], SPLIT[1]
    assert program_of(first).encode() == program_of(first).encode()
    assert len({program_of(*p).encode() for p in ((first, 4), (first, 5), (second, 4))}) == 3


def test_places_and_notices() -> None:
    places = {"w": Place(STATE_READ, 128), "out": Place(STATE_WRITE, 64)}
    g = graph({"w": f8(3), "x": f8(N, 3)}, lambda w, x: total((x * w) @ x.mT))
    program = compile_main(g, places)
    assert program.notices
    found = Program.decode(program.encode())
    assert [p.place for p in found.inputs] == [Place(STATE_READ, 128), Place(BOARD, None)]
    assert [p.place for p in found.outputs] == [Place(STATE_WRITE, 64)]
    assert found.inputs[1].aval == f8(N, 3)
    assert found.notices == ()


def test_foreign_bytes_are_no_program() -> None:
    with pytest.raises(ChainruleError) as caught:
        Program.decode(b"chainrule.graph.v1\0")
    assert caught.value.code is ErrorCode.MALFORMED_MESSAGE


@pytest.mark.parametrize("n", [1, 4, 9, 33])
def test_slots_are_aligned_and_disjoint(n: int) -> None:
    for loss in SPLIT:
        layout = program_of(loss).layout(n)
        ends = sorted((slot.offset, slot.offset + slot.nbytes) for slot in layout.slots.values())
        assert all(lo % 64 == 0 for lo, _ in ends)
        assert all(hi <= lo for (_, hi), (lo, _) in pairwise(ends))
        assert ends[-1][1] <= layout.nbytes


def test_slots_have_the_shapes_of_their_values() -> None:
    g = graph({"x": f4(N, 3)}, lambda x: {"y": sin(x), "m": reduce_max(x, (0,))})
    program = compile_main(g, {}, microshard=2)
    layout = program.layout(5)
    shapes = {p.name: layout.slots[p.key].shape for p in (*program.inputs, *program.outputs)}
    assert shapes == {"x": (5, 3), "y": (5, 3), "m": (3,)}
    assert {slot.dtype for slot in layout.slots.values()} == {np.dtype(np.float32)}


def test_the_packed_vector_of_partials() -> None:
    def body(x: Expr) -> dict[str, Expr]:
        return {"s": reduce_sum(x, (0,)), "m": reduce_max(x, (0, 1)), "y": sin(x)}

    layout = compile_main(graph({"x": f8(N, 9)}, body), {}, microshard=2).layout(5)
    partials = layout.partials(0)
    assert [(s.kind, s.offset, s.length) for s in partials.segments] == [
        ("sum", 0, 9),
        ("max", 128, 1),
    ]
    assert (partials.nbytes, len(partials.keys)) == (192, 2)
    whole = compile_main(graph({"x": f8(3)}, sin), {}).layout()
    with pytest.raises(ValueError, match="stage 0 is not sharded"):
        whole.partials(0)


def test_peak_bytes_of_a_whole_program_by_hand() -> None:
    # x and the output on the board, one buffer of the arena; x.like(2) is one element, a leaf
    program = compile_main(graph({"x": f8(1000)}, lambda x: reduce_sum(sin(x) * 2.0, (0,))), {})
    layout = program.layout()
    (stage,) = program.stages
    plan = stage.plan(1)
    assert (plan.arena_bytes, plan.leaf_bytes, layout.nbytes) == (8000, 64, 8000 + 64)
    assert layout.peak_bytes == layout.nbytes + 8064 + plan.workspace_bytes
    assert layout.flops == plan.flops


def test_peak_bytes_of_a_split_program_counts_the_rows_of_a_microshard() -> None:
    program = compile_main(graph({"x": f8(N, 100)}, sin), {}, microshard=4)
    layout = program.layout(10)
    (stage,) = program.stages
    # x and y on the board; of a worker: 4 rows and the ragged 2 of both, and what sin needs
    rows = 2 * (4 * 800 + 2 * 800)
    assert layout.nbytes == 2 * 8000
    assert layout.peak_bytes == 16_000 + rows + stage.plan(4).scratch_bytes


def test_flops_are_those_of_every_microshard() -> None:
    program = compile_main(graph({"x": f8(N, 3)}, sin), {}, microshard=4)
    (stage,) = program.stages
    assert program.layout(10).flops == 2 * stage.plan(4).flops + stage.plan(2).flops
    assert program.layout(20).flops == 2 * program.layout(10).flops


def test_state_is_counted_but_not_on_the_board() -> None:
    g = graph({"w": f8(8)}, lambda w: {"new": w * 2.0})
    places = {"w": Place(STATE_READ, 0), "new": Place(STATE_WRITE, 0)}
    layout = compile_main(g, places).layout()
    assert layout.nbytes == 0
    assert layout.peak_bytes >= 2 * 64


def test_a_batch_that_no_array_holds_is_refused() -> None:
    program = compile_main(graph({"x": f8(N, 2**20)}, lambda x: total(x @ x.mT)), {})
    with pytest.raises(ChainruleError, match=r"float64\[N,1048576\] has 2\^60 elements") as caught:
        program.layout(2**40)
    assert caught.value.code is ErrorCode.COST_BYTES


def test_more_microshards_than_anybody_would_run_are_refused_before_they_are_listed() -> None:
    program = compile_main(graph({"x": f8(N)}, sin), {}, microshard=4)
    assert len(program.layout(4 * MAX_SHARDS).microshards) == MAX_SHARDS
    for n in (4 * MAX_SHARDS + 1, 2**40, 10**30):
        with pytest.raises(ChainruleError, match="take larger microshards") as caught:
            program.layout(n)
        assert caught.value.code is ErrorCode.TOO_LARGE


def test_an_empty_batch_has_sums_of_nothing() -> None:
    program = compile_main(
        graph({"x": f8(N, 3)}, lambda x: {"s": reduce_sum(x, (0,)), "y": sin(x)}), {}, microshard=4
    )
    got = run(program, 0, {"x": np.zeros((0, 3))})
    np.testing.assert_array_equal(got["s"], np.zeros(3))
    assert got["y"].shape == (0, 3)


def test_layouts_and_plans_are_kept_but_not_all() -> None:
    program = compile_main(graph({"x": f8(N)}, sin), {}, microshard=4)
    assert program.layout(9) is program.layout(9)
    first = program.layout(9)
    for n in range(1, 40):
        program.layout(n)
    assert program.layout(9) == first


def test_dtypes_of_every_kind_pass_through() -> None:
    inputs = {
        f"x{d.value}": Aval(d, (BatchDim(1), 2))
        for d in DType
        if d not in (DType.FLOAT16, DType.BFLOAT16)
    }
    g = graph(inputs, lambda *xs: {f"y{i}": x for i, x in enumerate(xs)})
    program = compile_main(g, {}, microshard=2)
    feeds = feeds_for(g.main, 5)
    got = run(program, 5, feeds, workers=2)
    for i, value in enumerate(feeds.values()):
        np.testing.assert_array_equal(got[f"y{i}"], value)
        assert got[f"y{i}"].dtype == value.dtype
