"""Rules as mathematics, printed from what runs."""

import pytest

from chainrule.ir.avals import Aval
from chainrule.ir.expr import apply, gather, reduce_sum, transpose
from chainrule.ir.graph import Function
from chainrule_server.engine.formula import rule_text
from support.written import f8, function, i8


def texts(f: Function) -> tuple[str, ...]:
    node = f.node(f.outputs[0])
    return rule_text(node, [f.avals[i] for i in node.inputs])


def unary(op: str, **attrs: int) -> tuple[str, ...]:
    return texts(function({"x": f8()}, lambda x: apply(op, x, **attrs)))


@pytest.mark.parametrize(
    ("op", "want"),
    [
        ("Neg", "-ct"),
        ("Exp", "ct * out"),
        ("Sin", "ct * cos(x)"),
        ("Cos", "-(ct * sin(x))"),
        ("Tanh", "ct * (1 - out * out)"),
        ("Log", "ct / x"),
        ("Sign", ""),
    ],
)
def test_functions_of_one(op: str, want: str) -> None:
    (text,) = unary(op)
    squashed = text.replace("(", "").replace(")", "").replace("out^2", "out * out")
    assert squashed == want.replace("(", "").replace(")", "")


def test_powers() -> None:
    assert unary("IntPow", n=2) == ("ct * (2 * x)",)
    assert unary("IntPow", n=3) == ("ct * (3 * x^2)",)
    assert unary("IntPow", n=0) == ("",)


def test_functions_of_two() -> None:
    avals: dict[str, Aval] = {"x": f8(), "y": f8()}
    assert texts(function(avals, lambda x, y: x * y)) == ("ct * y", "ct * x")
    assert texts(function(avals, lambda x, y: x - y)) == ("ct", "-ct")
    assert texts(function(avals, lambda x, y: x / y))[0] == "ct / y"


def test_products_transpose_and_sums_expand() -> None:
    f = function({"x": f8(2, 3), "y": f8(3, 4)}, lambda x, y: x @ y)
    assert texts(f) == ("ct @ y^T", "x^T @ ct")
    assert texts(function({"x": f8(2, 3)}, lambda x: transpose(x, (1, 0)))) == ("ct^T",)
    assert texts(function({"x": f8(3)}, lambda x: reduce_sum(x, (0,)))) == ("expand(reshape(ct))",)


def test_operands_that_get_nothing_have_no_text() -> None:
    f = function({"x": f8(3), "k": i8(2)}, lambda x, k: gather(x, k, 0))
    text, nothing = texts(f)
    assert text.startswith("scatterAdd(")
    assert nothing == ""
