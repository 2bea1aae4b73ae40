"""Graphs that don't fit a session are refused before anything is compiled."""

import pytest

from chainrule.errors import ChainruleError, ErrorCode
from chainrule.ir.avals import Aval, BatchDim, DType
from chainrule.ir.builder import Builder
from chainrule.ir.graph import Function
from chainrule_server.sessions.checks import (
    check_init,
    check_loss,
    check_names,
    check_reads,
    check_update,
)
from support.small_model import init_graph, loss_graph, update_graph

F8 = Aval(DType.FLOAT64)
W = Aval(DType.FLOAT64, (3, 1))
PARAMS = {"params/w": W, "params/b": F8}
STATES = {"state/w": W, "state/b": F8}
ALL = {**PARAMS, **STATES, "buffers/seen": F8}


def identity(name: str, aval: Aval, *outputs: str) -> Function:
    b = Builder()
    row = b.input(name, aval)
    return b.finish([row] * len(outputs), list(outputs))


def code(call: object) -> ErrorCode:
    with pytest.raises(ChainruleError) as info:
        call()  # type: ignore[operator]
    assert info.value.cure
    return info.value.code


def test_graphs_of_the_model_fit() -> None:
    check_loss(loss_graph().main, ALL)
    assert check_init(init_graph().main, PARAMS) == STATES
    assert check_update(update_graph().main, PARAMS, STATES, ()) == ("params/b", "params/w")


def test_a_bare_array_is_a_tree_of_one() -> None:
    check_names(["params"], "params")
    check_reads(identity("params", F8, "out"), {"params": F8})
    update = Builder()
    row = update.input("grads", F8)
    assert check_update(update.finish([row], ["updates"]), {"params": F8}, {}, ()) == ("params",)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (identity("params/other", F8, "loss", "buffers/seen"), ErrorCode.INCOMPATIBLE),
        (identity("params/w", F8, "loss", "buffers/seen"), ErrorCode.INCOMPATIBLE),
        (identity("args/0", F8, "loss", "buffers/seen"), ErrorCode.INVALID_GRAPH),
        (identity("params/b", F8, "buffers/seen"), ErrorCode.BAD_LOSS),
        (identity("params/w", W, "loss", "buffers/seen"), ErrorCode.BAD_LOSS),
        (identity("params/b", F8, "loss"), ErrorCode.INCOMPATIBLE),
        (identity("params/b", F8, "loss", "buffers/seen", "buffers/x"), ErrorCode.INCOMPATIBLE),
        (identity("params/b", F8, "loss", "buffers/seen", "out"), ErrorCode.INVALID_GRAPH),
        (
            identity("batch/0", Aval(DType.FLOAT64, (BatchDim(),)), "loss", "buffers/seen"),
            ErrorCode.BAD_LOSS,
        ),
    ],
)
def test_a_loss_must_fit(function: Function, reason: ErrorCode) -> None:
    assert code(lambda: check_loss(function, ALL)) is reason


def test_an_optimizer_must_fit() -> None:
    update = update_graph().main
    assert code(lambda: check_init(update, PARAMS)) is ErrorCode.INCOMPATIBLE
    assert code(lambda: check_init(loss_graph().main, ALL)) is ErrorCode.INCOMPATIBLE
    fewer = {"params/w": W}
    assert code(lambda: check_update(update, fewer, STATES, ())) is ErrorCode.INCOMPATIBLE
    assert code(lambda: check_update(update, PARAMS, {}, ())) is ErrorCode.INCOMPATIBLE
    frozen = ("params/b",)
    assert code(lambda: check_update(update, PARAMS, STATES, frozen)) is ErrorCode.INCOMPATIBLE
    assert code(lambda: check_update(update, {"params/n": Aval(DType.INT64)}, {}, ())) is (
        ErrorCode.INCOMPATIBLE
    )
    assert code(lambda: check_names(["params/\0"], "params")) is ErrorCode.BAD_NAME
