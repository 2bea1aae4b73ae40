"""docs/ops.md is what the vocabulary says: complete, and as generated."""

from chainrule.ir.primitives import PRIMITIVES
from support import op_reference
from support.op_entries import ENTRIES


def test_every_op_has_an_entry() -> None:
    assert set(ENTRIES) == set(PRIMITIVES)


def test_every_line_says_value_derivative_and_cost() -> None:
    for line in op_reference.lines():
        assert line.value and line.derivative and line.cost, line.op


def test_the_document_is_as_generated() -> None:
    assert op_reference.DOC.read_text() == op_reference.render(), (
        "run python -m support.op_reference in tests/"
    )
