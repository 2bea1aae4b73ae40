"""Every kind of bad graph: its code, its place, and the rows around it."""

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chainrule.errors import ChainruleError, ErrorCode
from chainrule.ir.attrs import Attrs
from chainrule.ir.avals import Aval, DType
from chainrule.ir.builder import Builder
from chainrule.ir.checker import check
from chainrule.ir.expr import Expr, reduce_sum, sin
from chainrule.ir.graph import Debug, Function, Graph
from chainrule.ir.limits import DEFAULT, Limits
from support.written import N, f8, function, graph, i8

GOOD = function({"x": f8(2, 3), "y": f8(3)}, lambda x, y: reduce_sum(sin(x) * y, (0,)))
F16 = Aval(DType.FLOAT16, (2,))


def changed(column: str, row: int, value: object) -> Graph:
    """GOOD with one entry of one column replaced."""
    entries: list[Any] = list(getattr(GOOD, column))
    entries[row] = value
    columns: dict[str, Any] = {column: tuple(entries)}
    return Graph((replace(GOOD, **columns),))


def node(op: str, inputs: tuple[int, ...], attrs: Attrs, aval: Aval) -> Graph:
    """GOOD with one more row."""
    return Graph(
        (
            replace(
                GOOD,
                ops=(*GOOD.ops, op),
                inputs=(*GOOD.inputs, inputs),
                attrs=(*GOOD.attrs, attrs),
                avals=(*GOOD.avals, aval),
            ),
        )
    )


CASES: dict[str, tuple[Graph, ErrorCode, int | None]] = {
    "no function": (Graph(()), ErrorCode.INVALID_GRAPH, None),
    "columns of different length": (
        Graph((replace(GOOD, avals=GOOD.avals[:-1]),)),
        ErrorCode.INVALID_GRAPH,
        None,
    ),
    "no row": (Graph((Function("f", (), (), (), (), (), ()),)), ErrorCode.INVALID_GRAPH, None),
    "unknown op": (changed("ops", 2, "Sinn"), ErrorCode.UNKNOWN_OP, 2),
    "an op that is code": (changed("ops", 2, "__import__"), ErrorCode.UNKNOWN_OP, 2),
    "a reference forwards": (changed("inputs", 2, (3,)), ErrorCode.BAD_REF, 2),
    "a reference to itself": (changed("inputs", 2, (2,)), ErrorCode.BAD_REF, 2),
    "a negative reference": (changed("inputs", 2, (-1,)), ErrorCode.BAD_REF, 2),
    "too many inputs": (changed("inputs", 2, (0, 1)), ErrorCode.BAD_REF, 2),
    "too few inputs": (changed("inputs", 3, (2,)), ErrorCode.BAD_REF, 3),
    "unknown attribute": (changed("attrs", 2, (("fast", True),)), ErrorCode.UNKNOWN_ATTR, 2),
    "an attribute twice": (
        changed("attrs", 4, (("axes", (0,)), ("axes", (0,)))),
        ErrorCode.ATTR_RANGE,
        4,
    ),
    "a missing attribute": (changed("attrs", 4, (("keepdims", False),)), ErrorCode.ATTR_RANGE, 4),
    "a default left out": (changed("attrs", 4, (("axes", (0,)),)), ErrorCode.NON_CANONICAL, 4),
    "attributes out of order": (
        changed("attrs", 4, (("keepdims", False), ("axes", (0,)))),
        ErrorCode.NON_CANONICAL,
        4,
    ),
    "a bad axis": (
        changed("attrs", 4, (("axes", (2,)), ("keepdims", False))),
        ErrorCode.BAD_AXIS,
        4,
    ),
    "another shape declared": (changed("avals", 3, f8(3, 2)), ErrorCode.SHAPE_MISMATCH, 3),
    "another dtype declared": (
        changed("avals", 3, Aval(DType.FLOAT32, (2, 3))),
        ErrorCode.SHAPE_MISMATCH,
        3,
    ),
    "another dtype given": (changed("avals", 1, i8(3)), ErrorCode.DTYPE_MISMATCH, 3),
    "shapes that don't broadcast": (changed("avals", 1, f8(4)), ErrorCode.SHAPE_MISMATCH, 3),
    "a negative dimension": (changed("avals", 0, f8(-1, 3)), ErrorCode.BAD_DIM, 0),
    "a rank above 8": (changed("avals", 0, f8(*[1] * 9)), ErrorCode.RANK_TOO_LARGE, 0),
    "a shape beyond any memory": (
        changed("avals", 0, f8(2**30, 2**30)),
        ErrorCode.TOO_LARGE,
        0,
    ),
    "arithmetic on 16 bits": (
        changed("avals", 2, Aval(DType.BFLOAT16, (2, 3))),
        ErrorCode.BAD_DTYPE,
        2,
    ),
    "a bad input name": (changed("attrs", 0, (("name", "a b"),)), ErrorCode.BAD_NAME, 0),
    "an input with an attribute more": (
        changed("attrs", 0, (("axis", 1), ("name", "x"))),
        ErrorCode.UNKNOWN_ATTR,
        0,
    ),
    "an input with an operand": (changed("inputs", 1, (0,)), ErrorCode.ATTR_RANGE, 1),
    "an input after a node": (
        node("Input", (), (("name", "z"),), f8()),
        ErrorCode.INVALID_GRAPH,
        5,
    ),
    "two inputs of one name": (
        changed("attrs", 1, (("name", "x"),)),
        ErrorCode.DUPLICATE_NAME,
        None,
    ),
    "an item of a node with one output": (
        node("Item", (2,), (("index", 1),), f8(2, 3)),
        ErrorCode.BAD_REF,
        5,
    ),
    "item 0": (node("Item", (2,), (("index", 0),), f8(2, 3)), ErrorCode.ATTR_RANGE, 5),
    "an item of nothing": (node("Item", (), (("index", 1),), f8()), ErrorCode.BAD_REF, 5),
    "no output": (
        Graph((replace(GOOD, outputs=(), output_names=()),)),
        ErrorCode.INVALID_GRAPH,
        None,
    ),
    "fewer names than outputs": (
        Graph((replace(GOOD, outputs=(4, 3)),)),
        ErrorCode.INVALID_GRAPH,
        None,
    ),
    "an output that isn't there": (Graph((replace(GOOD, outputs=(5,)),)), ErrorCode.BAD_REF, None),
    "two outputs of one name": (
        Graph((replace(GOOD, outputs=(4, 3), output_names=("a", "a")),)),
        ErrorCode.DUPLICATE_NAME,
        None,
    ),
    "a bad output name": (
        Graph((replace(GOOD, output_names=("",)),)),
        ErrorCode.BAD_NAME,
        None,
    ),
    "a call of itself": (
        node("Call", (0, 1), (("function", 0),), f8(3)),
        ErrorCode.BAD_REF,
        5,
    ),
    "a call of a later function": (
        node("Call", (0, 1), (("function", 1),), f8(3)),
        ErrorCode.BAD_REF,
        5,
    ),
    "a constant of the wrong length": (
        node(
            "Constant",
            (),
            (("data", bytes(12)), ("dtype", DType.FLOAT64), ("shape", (2,))),
            f8(2),
        ),
        ErrorCode.BYTE_LENGTH,
        5,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_bad_graph(name: str) -> None:
    g, code, row = CASES[name]
    with pytest.raises(ChainruleError) as caught:
        check(g)
    assert caught.value.code is code
    assert caught.value.node == row
    if row is not None:
        assert f"->%{row} = " in caught.value.facts["around"]


def test_the_good_graph_passes() -> None:
    check(Graph((GOOD,)))


def test_a_failure_names_function_node_label_and_line_and_shows_the_rows() -> None:
    bad = changed("avals", 3, f8(3, 2)).main
    debug = Debug(("", "", "", "h", ""), ("m.py:1", "m.py:1", "m.py:2", "m.py:3", ""))
    with pytest.raises(ChainruleError) as caught:
        check(Graph((bad,), (debug,)))
    error = caught.value
    assert (error.function, error.node, error.label, error.line) == ("main", 3, "h", "m.py:3")
    assert str(error).startswith(
        "node 3 (h) at m.py:3: is declared float64[3,2], its inputs give float64[2,3]; declare"
    )
    assert error.facts["around"] == (
        "  %0 = Input [name='x'] : float64[2,3]   # m.py:1\n"
        "  %1 = Input [name='y'] : float64[3]   # m.py:1\n"
        "  %2 = Sin %0 : float64[2,3]   # m.py:2\n"
        "->%3 = Mul %2 %1 : float64[3,2]   # h, m.py:3\n"
        "  %4 = ReduceSum %3 [axes=(0), keepdims=False] : float64[3]"
    )


def test_a_failure_in_an_inner_function_says_which() -> None:
    inner = replace(changed("inputs", 2, (7,)).main, name="loss")
    with pytest.raises(ChainruleError) as caught:
        check(Graph((inner, GOOD)))
    assert (caught.value.function, caught.value.node) == ("loss", 2)


def test_16_bit_floats_are_for_storage() -> None:
    check(graph({"x": F16}, lambda x: Expr(x.b, x.b.add("Cast", x.id, dtype=DType.FLOAT32))))


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(nodes=9), ErrorCode.TOO_MANY_NODES),
        (Limits(edges=7), ErrorCode.TOO_MANY_NODES),
        (Limits(functions=1), ErrorCode.TOO_MANY_NODES),
        (Limits(constant_bytes=15), ErrorCode.CONSTANT_TOO_LARGE),
        (Limits(nesting=1), ErrorCode.NESTING_TOO_DEEP),
    ],
)
def test_limits(limits: Limits, code: ErrorCode) -> None:
    b = Builder((GOOD,))
    x, y = b.input("x", f8(2, 3)), b.input("y", f8(3))
    out = Expr(b, b.add("Call", x, y, function=0)) * 2.0 * 3.0
    g = Graph((GOOD, b.finish([out.id], ["out"])))
    assert g.n_nodes == 12
    check(g)
    with pytest.raises(ChainruleError) as caught:
        check(g, limits)
    assert caught.value.code is code
    if code is not ErrorCode.NESTING_TOO_DEEP:
        assert caught.value.facts["value"] > caught.value.facts["limit"]


def test_sizes_are_compared_before_a_row_is_looked_at() -> None:
    bad = replace(GOOD, ops=("Nonsense",) * len(GOOD))
    with pytest.raises(ChainruleError) as caught:
        check(Graph((bad,)), Limits(nodes=1))
    assert caught.value.code is ErrorCode.TOO_MANY_NODES


def chain(length: int) -> Graph:
    row = function({"x": f8(N)}, sin)
    return Graph(
        (
            replace(
                row,
                ops=("Input", *["Sin"] * length),
                inputs=((), *[(i,) for i in range(length)]),
                attrs=(row.attrs[0], *[()] * length),
                avals=(f8(N),) * (length + 1),
                outputs=(length,),
            ),
        )
    )


def test_a_chain_of_a_hundred_thousand_needs_no_recursion() -> None:
    check(chain(100_000), replace(DEFAULT, nodes=200_000))


def calls_of(work: Callable[[], object]) -> int:
    """Python functions entered; a count, so it doesn't depend on the machine."""
    count = 0

    def enter(frame: object, event: str, arg: object) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(enter)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def test_work_is_linear_in_rows_also_with_many_functions() -> None:
    small, large = chain(500), chain(5_000)
    few, many = calls_of(lambda: check(small)), calls_of(lambda: check(large))
    assert many <= 10.1 * few
    assert many <= 60 * 5_000
    wide = Graph((GOOD,) * 100)
    assert calls_of(lambda: check(wide)) <= 101 * calls_of(lambda: check(Graph((GOOD,))))
