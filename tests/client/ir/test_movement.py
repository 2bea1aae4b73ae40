"""Shape rules of movement, the batch axis by multiples of N."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.errors import ChainruleError, ErrorCode
from chainrule.ir.avals import Aval, BatchDim
from chainrule.ir.builder import Builder
from support import references
from support.written import N, f8

N2, N3, M1 = BatchDim(2), BatchDim(3), BatchDim(-1)


def infer(op: str, *avals: Aval, **attrs: Any) -> Aval:
    b = Builder()
    rows = [b.input(f"x{i}", aval) for i, aval in enumerate(avals)]
    return b.aval(b.add(op, *rows, **attrs))


GIVEN: list[tuple[str, tuple[Aval, ...], dict[str, Any], Aval]] = [
    ("Reshape", (f8(2, 3),), {"shape": (6,)}, f8(6)),
    ("Reshape", (f8(N, 3),), {"shape": (N3,)}, f8(N3)),
    ("Reshape", (f8(N2, 3),), {"shape": (2, N, 3)}, f8(2, N, 3)),
    ("Reshape", (f8(),), {"shape": (1, 1)}, f8(1, 1)),
    ("Reshape", (f8(0, 3),), {"shape": (0,)}, f8(0)),
    ("Transpose", (f8(2, N, 4),), {"perm": (1, 2, 0)}, f8(N, 4, 2)),
    ("Transpose", (f8(),), {"perm": ()}, f8()),
    ("Expand", (f8(1, 3),), {"shape": (N, 2, 3)}, f8(N, 2, 3)),
    ("Expand", (f8(),), {"shape": (0,)}, f8(0)),
    ("Slice", (f8(7),), {"starts": (1,), "stops": (6,), "steps": (2,)}, f8(3)),
    ("Slice", (f8(N3),), {"starts": (N,), "stops": (N3,), "steps": (1,)}, f8(N2)),
    ("Slice", (f8(N),), {"starts": (0,), "stops": (0,), "steps": (1,)}, f8(0)),
    ("Flip", (f8(N, 3),), {"axes": (-1,)}, f8(N, 3)),
    ("Pad", (f8(3),), {"low": (1,), "high": (-2,), "interior": (1,)}, f8(4)),
    ("Pad", (f8(N),), {"low": (N,), "high": (0,), "interior": (0,)}, f8(N2)),
    ("Pad", (f8(N2),), {"low": (M1,), "high": (0,), "interior": (0,)}, f8(N)),
    ("Concat", (f8(2, 3), f8(4, 3)), {"axis": 0}, f8(6, 3)),
    ("Concat", (f8(N), f8(N2)), {"axis": -1}, f8(N3)),
    ("Concat", (f8(0), f8(2), f8(1)), {"axis": 0}, f8(3)),
]


@pytest.mark.parametrize(("op", "avals", "attrs", "want"), GIVEN)
def test_result(op: str, avals: tuple[Aval, ...], attrs: dict[str, Any], want: Aval) -> None:
    assert infer(op, *avals, **attrs) == want


E = ErrorCode
REFUSED: list[tuple[str, tuple[Aval, ...], dict[str, Any], ErrorCode, str]] = [
    ("Reshape", (f8(2, 3),), {"shape": (5,)}, E.SHAPE_MISMATCH, "6 elements, (5,) has 5 elements"),
    ("Reshape", (f8(N, 3),), {"shape": (3,)}, E.SHAPE_MISMATCH, "3*N elements"),
    ("Reshape", (f8(N),), {"shape": (N2,)}, E.SHAPE_MISMATCH, "2*N elements"),
    ("Reshape", (f8(6),), {"shape": (-1, 3)}, E.BAD_DIM, "-1"),
    ("Reshape", (f8(4),), {"shape": (-2, -2)}, E.BAD_DIM, "-2"),
    ("Reshape", (f8(1),), {"shape": (1,) * 9}, E.RANK_TOO_LARGE, "rank 9"),
    ("Transpose", (f8(2, 3),), {"perm": (0,)}, E.BAD_AXIS, "no permutation of 2 axes"),
    ("Transpose", (f8(2, 3),), {"perm": (0, 0)}, E.BAD_AXIS, "twice"),
    ("Transpose", (f8(2, 3),), {"perm": (0, -1)}, E.BAD_AXIS, "no permutation"),
    ("Transpose", (f8(2, 3),), {"perm": (0, 2)}, E.BAD_AXIS, "axis 2"),
    ("Expand", (f8(2),), {"shape": (3,)}, E.SHAPE_MISMATCH, "2 against 3"),
    ("Expand", (f8(2, 3),), {"shape": (3,)}, E.SHAPE_MISMATCH, "doesn't expand"),
    ("Expand", (f8(3),), {"shape": (1,)}, E.SHAPE_MISMATCH, "doesn't expand"),
    ("Expand", (f8(1, 1),), {"shape": (2**30, 2**30)}, E.TOO_LARGE, "2^60"),
    ("Slice", (f8(7),), {"starts": (1,), "stops": (8,), "steps": (1,)}, E.BAD_AXIS, "slice 1:8:1"),
    ("Slice", (f8(7),), {"starts": (5,), "stops": (4,), "steps": (1,)}, E.BAD_AXIS, "5:4"),
    ("Slice", (f8(7),), {"starts": (-1,), "stops": (4,), "steps": (1,)}, E.BAD_AXIS, "-1:4"),
    ("Slice", (f8(7),), {"starts": (0,), "stops": (4,), "steps": (0,)}, E.BAD_AXIS, "0:4:0"),
    ("Slice", (f8(7),), {"starts": (0,), "stops": (4,), "steps": (-1,)}, E.BAD_AXIS, ":-1"),
    ("Slice", (f8(7),), {"starts": (0,), "stops": (N,), "steps": (1,)}, E.BAD_AXIS, "0:N"),
    ("Slice", (f8(N),), {"starts": (0,), "stops": (2,), "steps": (1,)}, E.BAD_AXIS, "multiples"),
    ("Slice", (f8(N2),), {"starts": (0,), "stops": (N2,), "steps": (2,)}, E.BAD_AXIS, "multiples"),
    ("Slice", (f8(N),), {"starts": (0,), "stops": (N2,), "steps": (1,)}, E.BAD_AXIS, "length N"),
    ("Slice", (f8(7),), {"starts": (), "stops": (), "steps": ()}, E.BAD_AXIS, "another rank"),
    ("Flip", (f8(2),), {"axes": (1,)}, E.BAD_AXIS, "axis 1"),
    ("Flip", (f8(2),), {"axes": (0, -1)}, E.BAD_AXIS, "twice"),
    ("Pad", (f8(3),), {"low": (-2,), "high": (-2,), "interior": (0,)}, E.BAD_AXIS, "pad -2, -2"),
    ("Pad", (f8(3),), {"low": (0,), "high": (0,), "interior": (-1,)}, E.BAD_AXIS, "length 3"),
    ("Pad", (f8(N),), {"low": (1,), "high": (0,), "interior": (0,)}, E.BAD_AXIS, "multiples of N"),
    ("Pad", (f8(N),), {"low": (N,), "high": (0,), "interior": (1,)}, E.BAD_AXIS, "multiples of N"),
    ("Pad", (f8(N),), {"low": (M1,), "high": (0,), "interior": (0,)}, E.BAD_AXIS, "multiples"),
    ("Pad", (f8(3),), {"low": (N,), "high": (0,), "interior": (0,)}, E.BAD_AXIS, "length 3"),
    ("Pad", (f8(3),), {"low": (2**40,), "high": (0,), "interior": (0,)}, E.BAD_DIM, "outside"),
    ("Pad", (f8(3),), {"low": (), "high": (), "interior": ()}, E.BAD_AXIS, "another rank"),
    ("Concat", (f8(2, 3), f8(2, 4)), {"axis": 0}, E.SHAPE_MISMATCH, "don't concatenate"),
    ("Concat", (f8(2), f8(2, 1)), {"axis": 0}, E.SHAPE_MISMATCH, "don't concatenate"),
    ("Concat", (f8(N), f8(2)), {"axis": 0}, E.BAD_AXIS, "some depend on the batch"),
    ("Concat", (f8(2**31 - 1), f8(1)), {"axis": 0}, E.BAD_DIM, "outside"),
    ("Concat", (f8(), f8()), {"axis": 0}, E.BAD_AXIS, "0-d"),
    ("Concat", (), {"axis": 0}, E.BAD_REF, "takes at least one inputs, not 0"),
]


@pytest.mark.parametrize(("op", "avals", "attrs", "code", "text"), REFUSED)
def test_refusal(
    op: str, avals: tuple[Aval, ...], attrs: dict[str, Any], code: ErrorCode, text: str
) -> None:
    with pytest.raises(ChainruleError) as caught:
        infer(op, *avals, **attrs)
    assert caught.value.code is code
    assert text in str(caught.value)


small = st.integers(-3, 4)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(0, 5), small, small, st.integers(0, 2))
def test_pad_gives_the_shape_of_the_padded_array(d: int, low: int, high: int, inner: int) -> None:
    try:
        aval = infer("Pad", f8(d), low=(low,), high=(high,), interior=(inner,))
    except ChainruleError:
        assert d + max(d - 1, 0) * inner + low + high < 0
    else:
        want = references.pad(np.zeros(d), low=(low,), high=(high,), interior=(inner,))
        assert aval.shape == want.shape


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(0, 6), st.integers(0, 6), st.integers(0, 6), st.integers(1, 4))
def test_slice_gives_the_shape_of_the_cut_array(d: int, a: int, b: int, step: int) -> None:
    try:
        aval = infer("Slice", f8(d), starts=(a,), stops=(b,), steps=(step,))
    except ChainruleError:
        assert not a <= b <= d
    else:
        assert aval.shape == np.zeros(d)[a:b:step].shape
