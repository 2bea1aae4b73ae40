"""The two halves of an op are equal sets, and the table of cases is a third."""

import numpy as np
import pytest

from chainrule.ir.avals import Aval, DType
from chainrule.ir.inference import STRUCTURE
from chainrule.ir.primitives import PRIMITIVES
from chainrule_server.engine.ops import OPS
from chainrule_server.engine.ops.table import ALL, NoDerivative, phantom
from support.op_cases import CASES, LEAVES, ROWS

# Known to a plan by their place, not by a kernel.
PLACES = {"Input", "Item", *STRUCTURE}


def test_every_primitive_has_a_meaning_and_a_row() -> None:
    assert set(OPS) == set(PRIMITIVES) - PLACES
    assert set(CASES) == set(OPS) - set(LEAVES)
    assert len(CASES) == len(ROWS), "an op has two rows"


@pytest.mark.parametrize("name", OPS)
def test_an_op_without_derivative_says_why(name: str) -> None:
    op = OPS[name]
    assert isinstance(op.vjp, NoDerivative) == isinstance(op.jvp, NoDerivative)
    if isinstance(op.vjp, NoDerivative):
        assert op.vjp.reason
    elif name in CASES:
        assert CASES[name].oracle != "none", "a rule without an oracle is not tested"


@pytest.mark.parametrize("name", OPS)
def test_linear_groups_and_inplace_name_inputs(name: str) -> None:
    op, arity = OPS[name], PRIMITIVES[name].arity
    if arity is None:
        assert op.linear in ((), (ALL,))
        return
    named = [i for group in op.linear for i in group]
    assert len(set(named)) == len(named)
    assert all(0 <= i < arity for i in (*named, *op.inplace))


def test_a_phantom_has_the_layout_of_a_buffer_and_no_memory() -> None:
    ghost = phantom(Aval(DType.FLOAT32, (2**20, 2**20, 3)))
    assert ghost.strides == (3 * 2**22, 12, 4)
    assert ghost.flags.c_contiguous
    assert phantom(Aval(DType.FLOAT64, (0, 3))).shape == (0, 3)
    assert phantom(Aval(DType.BOOL)).shape == ()
    base = ghost.base
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    assert getattr(base, "nbytes", 4) == 4
