"""A program in a worker: again and again, on other boards, after a failure, within its memory."""

import tracemalloc

import numpy as np
import pytest

from chainrule.errors import ChainruleError, ErrorCode
from chainrule.ir.expr import Expr, gather, reduce_sum, sin, tanh
from chainrule_server.engine import worker
from chainrule_server.engine.compiler import compile_main, compile_request
from chainrule_server.engine.program import BOARD, Program
from chainrule_server.engine.requests import Kind, Request
from chainrule_server.engine.worker import LoadedProgram
from support.engine_run import Array, block_of_memory, run, same_bits
from support.losses import SPLIT, n_of, total
from support.written import N, f8, feeds_for, graph, i8


def step_like() -> tuple[Program, dict[str, Array]]:
    loss = SPLIT[0]
    g = graph(loss.inputs, loss.body)
    program = compile_request(g, [Request(Kind.VALUE), Request(Kind.GRAD, ("w",))], microshard=4)
    return program, feeds_for(g.main, 30, seed=3)


def test_runs_of_one_loaded_program_do_not_depend_on_each_other() -> None:
    program, feeds = step_like()
    pool = [LoadedProgram(program.encode()) for _ in range(2)]
    first = run(program, 30, feeds, loaded=pool)
    other = run(
        program, 13, {k: v[:13] if len(v) == 30 else v for k, v in feeds.items()}, loaded=pool
    )
    assert not same_bits(first, other)
    assert same_bits(first, run(program, 30, feeds, loaded=pool))
    assert same_bits(first, run(program, 30, feeds))


def test_instances_are_few_however_many_boards_and_sizes_come() -> None:
    program, feeds = step_like()
    loaded = LoadedProgram(program.encode())
    want = run(program, 30, feeds)
    for n in range(1, 25):
        part = {k: v[:n] if len(v) == 30 else v for k, v in feeds.items()}
        run(program, n, part, loaded=[loaded])
    assert same_bits(want, run(program, 30, feeds, loaded=[loaded]))
    assert len(loaded._instances) <= worker._KEPT


def failing() -> tuple[Program, dict[str, Array]]:
    def body(t: Expr, k: Expr) -> Expr:
        return reduce_sum(sin(gather(t, k, 0)), (0,))

    program = compile_main(graph({"t": f8(5), "k": i8(N)}, body), {}, microshard=2)
    return program, {"t": np.arange(5.0), "k": np.array([0, 1, 2, 3, 4, 0, 1])}


def test_after_an_error_in_a_block_the_next_block_is_right() -> None:
    program, feeds = failing()
    loaded = LoadedProgram(program.encode())
    bad = {**feeds, "k": np.array([0, 1, 2, 3, 4, 5, 1])}
    with pytest.raises(ChainruleError) as caught:
        run(program, 7, bad, loaded=[loaded])
    assert (caught.value.code, caught.value.label) == (ErrorCode.INDEX_RANGE, "Gather")
    got = run(program, 7, feeds, loaded=[loaded])
    assert same_bits(got, run(program, 7, feeds))
    np.testing.assert_allclose(got["out"], np.sin(feeds["k"] * 1.0).sum(), rtol=1e-14)


def test_progress_is_told_after_every_microshard() -> None:
    program, feeds = failing()
    told = []
    loaded = LoadedProgram(program.encode(), lambda: told.append(1))
    run(program, 7, feeds, loaded=[loaded])
    assert len(told) == 4


def test_a_growing_arena_does_not_leave_instances_behind() -> None:
    def body(w: Expr, x: Expr) -> dict[str, Expr]:
        small = reduce_sum(sin(x), (0,))
        return {"a": tanh(small) @ w, "b": total(sin(x) * 2.0) / n_of(x)}

    program = compile_main(graph({"w": f8(200, 200), "x": f8(N, 1, 200)}, body), {}, microshard=1)
    rng = np.random.default_rng(0)
    feeds = {"w": rng.standard_normal((200, 200)), "x": rng.standard_normal((5, 1, 200))}
    loaded = LoadedProgram(program.encode())
    for _ in range(2):
        got = run(program, 5, feeds, loaded=[loaded])
        np.testing.assert_allclose(got["b"], 2 * np.sin(feeds["x"]).sum() / 5, rtol=1e-12)
        want = np.tanh(np.sin(feeds["x"]).sum(0)) @ feeds["w"]
        np.testing.assert_allclose(got["a"], want, rtol=1e-11)


def test_a_board_can_be_let_go() -> None:
    program = compile_main(graph({"x": f8(3)}, sin), {})
    layout = program.layout()
    loaded = LoadedProgram(program.encode())
    boards = [block_of_memory(layout.nbytes) for _ in range(3)]
    for board in boards:
        board.view(np.float64)[:3] = 1.0
        loaded.run_whole(0, 1, {BOARD: board.data})
    assert len(loaded._instances) == 3
    loaded.forget(boards[1].data)
    assert len(loaded._instances) == 2


def test_a_workers_own_memory_is_within_what_the_layout_promises() -> None:
    def body(w: Expr, x: Expr) -> dict[str, Expr]:
        h = tanh(x @ w)
        return {"h": h, "sum": reduce_sum(sin(h) * h, (0,))}

    rows, n = 64, 64 * 9 + 17
    program = compile_main(graph({"w": f8(50, 40), "x": f8(N, 50)}, body), {}, microshard=rows)
    rng = np.random.default_rng(1)
    feeds = {"w": rng.standard_normal((50, 40)), "x": rng.standard_normal((n, 50))}
    run(program, n, feeds)
    layout = program.layout(n)
    board = block_of_memory(layout.nbytes)
    for port in program.inputs:
        slot = layout.slots[port.key]
        board[slot.offset : slot.offset + slot.nbytes] = np.frombuffer(
            feeds[port.name].tobytes(), np.uint8
        )
    partials = layout.partials(0)
    out = block_of_memory(partials.nbytes)
    loaded = LoadedProgram(program.encode())
    loaded.program.layout(n)
    shards = len(layout.microshards)
    tracemalloc.start()
    try:
        loaded.run_block(0, n, {BOARD: board.data}, 0, shards, out.data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    promised = layout.peak_bytes - layout.nbytes
    tree = (shards.bit_length() + 1) * (partials.nbytes + 64)
    # Instances are objects: thunks and views for each buffer of the fold and both sizes.
    objects = 150 * 1024
    assert peak <= promised + tree + objects
