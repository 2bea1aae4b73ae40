"""The two halves of a step as programs: what they read, take and leave, and their numbers."""

import numpy as np

from chainrule_server.engine.accumulate import compile_gradients, compile_update
from chainrule_server.engine.program import STATE_READ, STATE_WRITE, Program
from chainrule_server.engine.step import compile_step
from support.small_model import GB, GW, SEEN, VB, VW, B, W, init_graph, loss_graph, update_graph

NAMES = (B, SEEN, VB, VW, W, GB, GW)
PLACES = {name: 64 * k for k, name in enumerate(NAMES)}


def ports(program: Program, region: int) -> set[str]:
    return {p.name for p in (*program.inputs, *program.outputs) if p.place.region == region}


def test_the_first_half_reads_the_state_and_writes_gradients_and_buffers() -> None:
    program = compile_gradients(loss_graph(), update_graph(), places=PLACES)
    assert ports(program, STATE_READ) == {W, B, SEEN, GW, GB}
    assert ports(program, STATE_WRITE) == {GW, GB, SEEN}
    feeds = {p.name for p in program.inputs if p.place.region == 0}
    assert feeds == {"batch/0", "batch/1", "weight", "keep"}
    left = {p.name for p in program.outputs if p.place.region == 0}
    assert {"loss", "metrics/squares", "grad_norm", "grad_norm/w", "finite"} <= left


def test_the_second_half_writes_parameters_and_optimizer_state() -> None:
    program = compile_update(update_graph(), places=PLACES)
    assert ports(program, STATE_READ) == {W, B, VW, VB, GW, GB}
    assert ports(program, STATE_WRITE) == {W, B, VW, VB}
    left = {p.name for p in program.outputs if p.place.region == 0}
    assert left == {"grad_norm", "grad_norm/w", "grad_norm/b", "finite"}


def test_the_batch_of_the_first_half_is_cut_like_that_of_a_step() -> None:
    """Only then has a half the gradient of the step, to the bit."""
    half = compile_gradients(loss_graph(), update_graph(), places=PLACES, microshard_rows=8)
    step = compile_step(loss_graph(), update_graph(), places=PLACES, microshard_rows=8)
    for n in (1, 8, 100):
        assert half.rows_at(n) == step.rows_at(n)
        assert half.layout(n).microshards == step.layout(n).microshards
    assert np.prod(init_graph().main.out_avals[1].dims) == 3
