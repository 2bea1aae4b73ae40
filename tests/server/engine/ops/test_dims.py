"""Rules carry multiples of N: derived with N and then made concrete, or the other way round, is the same."""

import numpy as np
import pytest

from chainrule.ir.attrs import AttrValue
from chainrule.ir.avals import Aval, BatchDim, DType, Shape
from chainrule_server.engine import autodiff
from chainrule_server.engine.executor import evaluate
from chainrule_server.engine.flat import Flat
from chainrule_server.engine.ops.dims import minus, plus, sign
from chainrule_server.engine.plan import plan_function
from chainrule_server.engine.specialise import specialise
from support.op_checks import Array, node, rng_for

N, TWO_N = BatchDim(1), BatchDim(2)
F64, I64, BOOL = DType.FLOAT64, DType.INT64, DType.BOOL
Inputs = tuple[tuple[DType, Shape], ...]

CASES: tuple[tuple[str, Inputs, dict[str, AttrValue]], ...] = (
    ("Add", ((F64, (N, 3)), (F64, (3,))), {}),
    ("Mul", ((F64, (N, 1)), (F64, (N, 3))), {}),
    ("Div", ((F64, ()), (F64, (TWO_N,))), {}),
    ("Max", ((F64, (N, 2)), (F64, (2,))), {}),
    ("Pow", ((F64, (N,)), (F64, (1,))), {}),
    ("IntPow", ((F64, (3, N)),), {"n": 3}),
    ("Where", ((BOOL, (N, 1)), (F64, (3,)), (F64, (N, 3))), {}),
    ("Cast", ((F64, (N, 2)),), {"dtype": DType.FLOAT32}),
    ("Reshape", ((F64, (N, 2, 3)),), {"shape": (BatchDim(2), 3)}),
    ("Transpose", ((F64, (N, 3)),), {"perm": (1, 0)}),
    ("Expand", ((F64, (1, 3)),), {"shape": (N, 3)}),
    ("Slice", ((F64, (N, 5)),), {"starts": (0, 1), "stops": (N, 4), "steps": (1, 2)}),
    ("Slice", ((F64, (BatchDim(3), 2)),), {"starts": (N, 0), "stops": (TWO_N, 2), "steps": (1, 1)}),
    ("Slice", ((F64, (TWO_N,)),), {"starts": (0,), "stops": (N,), "steps": (1,)}),
    ("Flip", ((F64, (N, 3)),), {"axes": (1,)}),
    ("Pad", ((F64, (N, 3)),), {"low": (0, 1), "high": (0, -1), "interior": (0, 1)}),
    ("Pad", ((F64, (N, 3)),), {"low": (N, 0), "high": (TWO_N, 0), "interior": (0, 0)}),
    ("Pad", ((F64, (BatchDim(3),)),), {"low": (BatchDim(-1),), "high": (N,), "interior": (0,)}),
    ("Concat", ((F64, (N, 3)), (F64, (TWO_N, 3)), (F64, (N, 3))), {"axis": 0}),
    ("Concat", ((F64, (N, 3)), (F64, (N, 1))), {"axis": 1}),
    ("MatMul", ((F64, (N, 3)), (F64, (3, 4))), {}),
    ("MatMul", ((F64, (N, 2, 3)), (F64, (3, 4))), {}),
    ("MatMul", ((F64, (2, N, 3)), (F64, (3, 4))), {}),
    ("MatMul", ((F64, (3, N)), (F64, (N, 4))), {}),
    ("MatMul", ((F64, (N, 2, 3)), (F64, (N, 3, 4))), {}),
    ("ReduceSum", ((F64, (N, 3)),), {"axes": (0,), "keepdims": False}),
    ("ReduceSum", ((F64, (3, N)),), {"axes": (0,), "keepdims": True}),
    ("ReduceMax", ((F64, (N, 3)),), {"axes": (0, 1), "keepdims": False}),
    ("Gather", ((F64, (4, 3)), (I64, (N,))), {"axis": 0, "batch_dims": 0}),
    ("Gather", ((F64, (N, 4)), (I64, (N, 1))), {"axis": 1, "batch_dims": 1}),
    ("CumSum", ((F64, (N, 3)),), {"axis": 1, "reverse": True, "exclusive": True}),
    (
        "Unfold",
        ((F64, (N, 5)),),
        {"axes": (-1,), "sizes": (2,), "strides": (2,), "dilations": (1,)},
    ),
    (
        "Fold",
        ((F64, (2, N, 2)),),
        {"axes": (0,), "sizes": (2,), "strides": (2,), "dilations": (1,), "lengths": (5,)},
    ),
    ("Dft", ((F64, (N, 3, 2)),), {"axes": (1,), "inverse": False}),
    ("Cholesky", ((F64, (N, 1, 1)),), {}),
    ("Solve", ((F64, (2, 2)), (F64, (N, 2, 1))), {}),
    ("Solve", ((F64, (N, 2, 2)), (F64, (2, 1))), {}),
    (
        "TriangularSolve",
        ((F64, (N, 2, 2)), (F64, (N, 2, 1))),
        {"lower": True, "transpose": False, "unit": False},
    ),
    ("LogAbsDet", ((F64, (N, 2, 2)),), {}),
    ("Eigh", ((F64, (N, 2, 2)),), {}),
    ("QR", ((F64, (N, 3, 2)),), {}),
    ("QR", ((F64, (N, 2, 3)),), {}),
    ("SVD", ((F64, (N, 3, 2)),), {}),
    ("Polygamma", ((F64, (N,)),), {"n": 1}),
    ("ScatterAdd", ((I64, (N, 2)), (F64, (N, 2))), {"axis": 1, "batch_dims": 1, "size": (4,)}),
)


def arrays_for(flat: Flat, n: int, *names: object) -> list[Array]:
    rng = rng_for(*names)
    made: list[Array] = []
    for aval in flat.function.in_avals:
        concrete = aval.concrete(n)
        low = 0 if aval.dtype is not F64 else 0.5
        made.append(np.asarray(rng.uniform(low, 2.5, concrete.dims)).astype(aval.dtype.numpy))
    return made


@pytest.mark.parametrize("n", [1, 4])
@pytest.mark.parametrize("number", range(len(CASES)))
def test_a_rule_with_n_is_the_rule_without(number: int, n: int) -> None:
    op, inputs, attrs = CASES[number]
    symbolic = node(op, [Aval(*aval) for aval in inputs], attrs)
    concrete = Flat(specialise(symbolic.function, n), symbolic.debug)
    wrt = [i for i, (dtype, _) in enumerate(inputs) if dtype is F64]
    for derive in (autodiff.vjp, autodiff.jvp):
        once = specialise(derive(symbolic, wrt, (0,)).function, n)
        arrays = arrays_for(Flat(once, symbolic.debug), n, op, number)
        first = evaluate(plan_function(once), arrays)
        second = evaluate(plan_function(derive(concrete, wrt, (0,)).function), arrays)
        for a, b in zip(first, second, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_sums_and_differences_stay_among_multiples_of_n() -> None:
    assert plus(2, 3) == 5
    assert plus(0, N) == N
    assert plus(N, TWO_N) == BatchDim(3)
    assert minus(TWO_N, N) == N
    assert minus(N, N) == 0
    assert minus(0, N) == BatchDim(-1)
    assert sign(BatchDim(-1)) < 0 < sign(N)
    with pytest.raises(ValueError, match="3 is no multiple of N"):
        plus(N, 3)
