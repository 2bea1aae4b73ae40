"""Avals of nodes that run functions: results, and every way not to fit."""

from typing import Any

import pytest

from chainrule.errors import ChainruleError, ErrorCode, LimitExceeded
from chainrule.ir.avals import Aval, DType
from chainrule.ir.builder import Builder
from chainrule.ir.checker import check
from chainrule.ir.expr import less, reduce_sum, sin
from chainrule.ir.graph import Function, Graph
from chainrule.ir.structure import ScanShape, floats
from support.written import N, f4, f8, function, i8

BOOL = Aval(DType.BOOL)
SCALAR, VECTOR = f8(), f8(3)
PLAIN = function({"x": VECTOR, "k": i8()}, lambda x, k: {"y": sin(x), "k": k})
RULE = function({"x": VECTOR, "k": i8(), "ct": VECTOR}, lambda x, k, ct: {"x": ct * x})
LINE = function({"x": VECTOR}, lambda x: x * 2.0)
CURVE = function({"x": VECTOR}, sin)
SHORT = function({"x": VECTOR}, lambda x: reduce_sum(x, (0,)))
STEP = function({"c": SCALAR, "h": VECTOR, "x": SCALAR}, lambda c, h, x: {"h": h * c + x, "y": x})
UNTIL = function({"h": SCALAR}, lambda h: {"stop": less(h, h.like(0.1)), "h": h * 0.5})
SOLVE = function({"c": SCALAR, "x": VECTOR}, lambda c, x: sin(x) * c)
MIXED = function({"x": i8()}, lambda x: x)

SCAN = {"function": 0, "n_consts": 1, "n_carry": 1, "length": 5}
FIXED = {
    "function": 0,
    "n_consts": 1,
    "max_iter": 9,
    "tol": 1e-9,
    "adjoint_max_iter": 9,
    "adjoint_tol": 1e-9,
}


def infer(op: str, functions: tuple[Function, ...], given: tuple[Aval, ...], **attrs: Any) -> Any:
    b = Builder(functions)
    rows = [b.input(f"x{i}", aval) for i, aval in enumerate(given)]
    made = b.add_multi(op, *rows, **attrs)
    check(Graph((*functions, b.finish(made, [f"y{i}" for i in range(len(made))]))))
    return tuple(b.aval(row) for row in made)


GIVEN: list[tuple[str, tuple[Function, ...], tuple[Aval, ...], dict[str, Any], Any]] = [
    ("Call", (PLAIN,), (VECTOR, i8()), {"function": 0}, (VECTOR, i8())),
    ("Checkpoint", (PLAIN,), (VECTOR, i8()), {"function": 0}, (VECTOR, i8())),
    ("CustomVjp", (PLAIN, RULE), (VECTOR, i8()), {"function": 0, "otherwise": 1}, (VECTOR, i8())),
    ("Cond", (LINE, CURVE), (BOOL, VECTOR), {"function": 0, "otherwise": 1}, (VECTOR,)),
    ("Scan", (STEP,), (SCALAR, VECTOR, f8(5)), SCAN, (VECTOR, f8(5))),
    ("Scan", (STEP,), (SCALAR, VECTOR, f8(0)), {**SCAN, "length": 0}, (VECTOR, f8(0))),
    (
        "Scan",
        (STEP,),
        (i8(), SCALAR, VECTOR, f8(5)),
        {**SCAN, "limit": True},
        (VECTOR, f8(5)),
    ),
    (
        "Scan",
        (UNTIL,),
        (SCALAR,),
        {"function": 0, "n_carry": 1, "length": 9, "until": True},
        (SCALAR, i8()),
    ),
    ("FixedPoint", (SOLVE,), (SCALAR, VECTOR), FIXED, (VECTOR, i8(), SCALAR)),
]


@pytest.mark.parametrize(("op", "functions", "given", "attrs", "want"), GIVEN)
def test_result(
    op: str, functions: tuple[Function, ...], given: tuple[Aval, ...], attrs: Any, want: Any
) -> None:
    assert infer(op, functions, given, **attrs) == want


TWO = {"function": 0, "otherwise": 1}
E = ErrorCode
REFUSED: list[
    tuple[str, tuple[Function, ...], tuple[Aval, ...], dict[str, Any], ErrorCode, str]
] = [
    ("Cond", (LINE, CURVE), (SCALAR, VECTOR), TWO, E.SHAPE_MISMATCH, "a condition is one bool"),
    ("Cond", (LINE, CURVE), (), TWO, E.SHAPE_MISMATCH, "a condition is one bool"),
    ("Cond", (LINE, CURVE), (BOOL, f4(3)), TWO, E.SHAPE_MISMATCH, "value 0 given"),
    ("Cond", (LINE, SHORT), (BOOL, VECTOR), TWO, E.SHAPE_MISMATCH, "the branches give"),
    ("Cond", (LINE,), (BOOL, VECTOR), TWO, E.BAD_REF, "names function 1 of 1"),
    ("Checkpoint", (PLAIN,), (VECTOR,), {"function": 0}, E.SHAPE_MISMATCH, "takes 2 values"),
    ("CustomVjp", (PLAIN, LINE), (VECTOR, i8()), TWO, E.SHAPE_MISMATCH, "the rule of main takes"),
    ("Scan", (STEP,), (SCALAR, VECTOR), SCAN, E.SHAPE_MISMATCH, "takes 3 values in a Scan, not 2"),
    ("Scan", (STEP,), (SCALAR, VECTOR, f8(4)), SCAN, E.SHAPE_MISMATCH, "a Scan of 5 steps takes"),
    ("Scan", (STEP,), (SCALAR, VECTOR, f8(N)), SCAN, E.SHAPE_MISMATCH, "leading axis"),
    ("Scan", (STEP,), (SCALAR, f8(2), f8(5)), SCAN, E.SHAPE_MISMATCH, "value 1 given"),
    (
        "Scan",
        (STEP,),
        (SCALAR, SCALAR, VECTOR, f8(5)),
        {**SCAN, "limit": True},
        E.SHAPE_MISMATCH,
        "the limit of a Scan is one int64",
    ),
    (
        "Scan",
        (STEP,),
        (SCALAR, VECTOR, f8(5)),
        {**SCAN, "until": True},
        E.SHAPE_MISMATCH,
        "gives one bool first",
    ),
    (
        "Scan",
        (SHORT,),
        (VECTOR,),
        {"function": 0, "n_carry": 1, "length": 5},
        E.SHAPE_MISMATCH,
        "takes the carry (float64[3]) and gives (float64[])",
    ),
    (
        "Scan",
        (STEP,),
        (SCALAR, VECTOR, f8(5)),
        {**SCAN, "length": -1},
        E.ATTR_RANGE,
        "length of Scan is -1",
    ),
    (
        "Scan",
        (STEP,),
        (SCALAR, VECTOR, f8(5)),
        {**SCAN, "n_carry": 9},
        E.SHAPE_MISMATCH,
        "values in a Scan",
    ),
    ("FixedPoint", (MIXED,), (i8(),), {**FIXED, "n_consts": 0}, E.SHAPE_MISMATCH, "floating-point"),
    ("FixedPoint", (SHORT,), (VECTOR,), {**FIXED, "n_consts": 0}, E.SHAPE_MISMATCH, "give back"),
    (
        "FixedPoint",
        (SOLVE,),
        (SCALAR, VECTOR),
        {**FIXED, "n_consts": 9},
        E.SHAPE_MISMATCH,
        "floating",
    ),
    ("FixedPoint", (SOLVE,), (SCALAR, VECTOR), {**FIXED, "tol": -1.0}, E.ATTR_RANGE, "tol"),
]


@pytest.mark.parametrize(("op", "functions", "given", "attrs", "code", "text"), REFUSED)
def test_refusal(
    op: str,
    functions: tuple[Function, ...],
    given: tuple[Aval, ...],
    attrs: Any,
    code: ErrorCode,
    text: str,
) -> None:
    with pytest.raises(ChainruleError) as caught:
        infer(op, functions, given, **attrs)
    assert caught.value.code is code
    assert text in str(caught.value)


def test_stacked_outputs_stay_within_the_limits_of_a_shape() -> None:
    wide = function({"x": f8(2**20, 2**21)}, lambda x: {"x": x, "y": x})
    with pytest.raises(ChainruleError) as caught:
        infer("Scan", (wide,), (f8(2**20, 2**21),), function=0, n_carry=1, length=1_000_000)
    assert caught.value.code is E.TOO_LARGE
    deep = function({"x": f8(*[1] * 8)}, lambda x: {"x": x, "y": x})
    with pytest.raises(ChainruleError) as caught:
        infer("Scan", (deep,), (f8(*[1] * 8),), function=0, n_carry=1, length=3)
    assert caught.value.code is E.RANK_TOO_LARGE


def test_attributes_of_a_scan_are_read_once() -> None:
    shape = ScanShape.of({**SCAN, "reverse": True, "until": False, "limit": False})
    assert (shape.n_consts, shape.n_carry, shape.length, shape.reverse) == (1, 1, 5, True)


def test_derivatives_flow_through_floats() -> None:
    assert floats((f8(), i8(), f4(2), BOOL)) == (f8(), f4(2))


def test_an_integer_where_a_float_attribute_belongs_is_another_graph() -> None:
    b = Builder((SOLVE,))
    c, x = b.input("c", SCALAR), b.input("x", VECTOR)
    made = b.add_multi("FixedPoint", c, x, **{**FIXED, "tol": 1})
    f = b.finish(made[:1], ["x"])
    check(Graph((SOLVE, f)))
    row = f.ops.index("FixedPoint")
    attrs = tuple((k, 1 if k == "tol" else v) for k, v in f.attrs[row])
    changed = (*f.attrs[:row], attrs, *f.attrs[row + 1 :])
    wrong = Function(f.name, f.ops, f.inputs, changed, f.avals, f.outputs, f.output_names)
    with pytest.raises(ChainruleError) as caught:
        check(Graph((SOLVE, wrong)))
    assert caught.value.code is E.NON_CANONICAL


@pytest.mark.parametrize(("outer", "inner", "fits"), [(1000, 1000, True), (10_000, 10_000, False)])
def test_loops_inside_loops_have_a_bound_together(outer: int, inner: int, fits: bool) -> None:
    step = function({"x": SCALAR}, lambda x: x + 1.0)

    def loop(name: int, length: int, functions: tuple[Function, ...]) -> Function:
        b = Builder(functions)
        row = b.input("x", SCALAR)
        return b.finish([b.add("Scan", row, function=name, n_carry=1, length=length)], ["y"])

    middle = loop(0, inner, (step,))
    made = Graph((step, middle, loop(1, outer, (step, middle))))
    if fits:
        check(made)
        return
    with pytest.raises(LimitExceeded, match="100000000 steps together") as caught:
        check(made)
    assert (caught.value.code, caught.value.node) == (ErrorCode.COST_FLOPS, 1)
