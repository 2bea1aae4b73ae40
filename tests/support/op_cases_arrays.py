"""Rows of the op table for ops that move, contract, reduce and index arrays."""

import numpy as np

from support import references
from support.op_row import FLOAT, ONE, Draw, Row, Sample, Shapes

_MOVEMENT = (
    Row(
        "Reshape",
        lambda x, shape: x.reshape(shape),
        tuple(
            Sample((a,), {"shape": b})
            for a, b in (
                ((), ()),
                ((), (1, 1)),
                ((2, 3), (6,)),
                ((2, 6), (2, 3, 2)),
                ((0, 3), (3, 0)),
                ((4, 1, 3), (2, 6)),
            )
        ),
        (FLOAT,),
        "polynomial",
        integer=True,
    ),
    Row(
        "Transpose",
        lambda x, perm: x.transpose(perm),
        (
            Sample(((),), {"perm": ()}),
            Sample(((2, 3),), {"perm": (1, 0)}),
            Sample(((0, 3),), {"perm": (1, 0)}),
            Sample(((2, 3, 4),), {"perm": (2, 0, 1)}),
        ),
        (FLOAT,),
        "polynomial",
        integer=True,
    ),
    Row(
        "Expand",
        lambda x, shape: np.broadcast_to(x, shape),
        tuple(
            Sample((a,), {"shape": b})
            for a, b in (((), ()), ((), (2, 3)), ((1,), (4,)), ((2, 1), (5, 2, 3)), ((3,), (0, 3)))
        ),
        (FLOAT,),
        "polynomial",
        integer=True,
    ),
    Row(
        "Slice",
        references.slice_,
        tuple(
            Sample((shape,), {"starts": a, "stops": b, "steps": c})
            for shape, a, b, c in (
                ((), (), (), ()),
                ((7,), (1,), (6,), (2,)),
                ((7,), (0,), (7,), (3,)),
                ((4, 5), (1, 0), (3, 5), (1, 4)),
                ((4,), (2,), (2,), (1,)),
                ((0, 3), (0, 1), (0, 2), (1, 1)),
            )
        ),
        (FLOAT,),
        "polynomial",
        integer=True,
    ),
    Row(
        "Flip",
        lambda x, axes: np.flip(x, axes),
        (
            Sample(((),), {"axes": ()}),
            Sample(((4,),), {"axes": (0,)}),
            Sample(((2, 3),), {"axes": (0, -1)}),
            Sample(((0, 3),), {"axes": (1,)}),
        ),
        (FLOAT,),
        "polynomial",
        integer=True,
    ),
    Row(
        "Pad",
        references.pad,
        tuple(
            Sample((shape,), {"low": a, "high": b, "interior": c})
            for shape, a, b, c in (
                ((), (), (), ()),
                ((3,), (1,), (2,), (0,)),
                ((4,), (0,), (0,), (2,)),
                ((4,), (-1,), (-2,), (0,)),
                ((4,), (-2,), (1,), (2,)),
                ((5,), (-4,), (-3,), (1,)),
                ((2, 3), (1, -1), (0, 2), (1, 0)),
                ((0,), (2,), (1,), (3,)),
                ((2,), (-1,), (-1,), (0,)),
                ((3,), (-5,), (3,), (0,)),
            )
        ),
        (FLOAT,),
        "polynomial",
        integer=True,
    ),
    Row(
        "Concat",
        lambda *xs, axis: np.concatenate(xs, axis),
        (
            Sample(((2,),), {"axis": 0}),
            Sample(((2, 3), (2, 1)), {"axis": -1}),
            Sample(((1, 3), (0, 3), (2, 3)), {"axis": 0}),
        ),
        (FLOAT,),
        "polynomial",
        integer=True,
    ),
    Row("StopGradient", np.array, ONE, (FLOAT,), integer=True),
    Row("Barrier", lambda x, token=0: np.array(x), ONE, (FLOAT,), "polynomial", integer=True),
)

_CONTRACTION = (
    Row(
        "MatMul",
        np.matmul,
        tuple(
            Sample(shapes)
            for shapes in (
                ((1, 1), (1, 1)),
                ((2, 3), (3, 4)),
                ((1, 3), (3, 1)),
                ((0, 3), (3, 2)),
                ((2, 0), (0, 2)),
                ((5, 2, 3), (3, 4)),
                ((2, 3), (5, 3, 4)),
                ((5, 2, 3), (5, 3, 4)),
                ((4, 1, 2, 3), (5, 3, 2)),
            )
        ),
        (FLOAT, FLOAT),
        "polynomial",
        integer=True,
    ),
    Row(
        "ReduceSum",
        lambda x, axes, keepdims: np.sum(x, axes, dtype=x.dtype, keepdims=keepdims),
        tuple(
            Sample((shape,), {"axes": axes, "keepdims": keepdims})
            for keepdims in (False, True)
            for shape, axes in (
                ((), ()),
                ((1,), (0,)),
                ((2, 3), (0,)),
                ((2, 3), (-1,)),
                ((2, 3), (0, 1)),
                ((2, 3, 4), (0, 2)),
                ((0, 3), (0,)),
                ((2, 3), ()),
            )
        ),
        (FLOAT,),
        "polynomial",
        integer=True,
    ),
    Row(
        "ReduceMax",
        lambda x, axes, keepdims: np.max(x, axes, keepdims=keepdims),
        tuple(
            Sample((shape,), {"axes": axes, "keepdims": keepdims})
            for keepdims in (False, True)
            for shape, axes in (
                ((1,), (0,)),
                ((2, 3), (1,)),
                ((4, 5), (0, -1)),
                ((2, 3, 4), (0, 2)),
                ((0, 3), (1,)),
                ((2, 3), ()),
            )
        ),
        # few values, so that there are ties
        (Draw("number", -2, 3),),
        "max",
        integer=True,
    ),
)

_GATHERS = (
    ((4,), (), 0, 0),
    ((4,), (1,), 0, 0),
    ((4, 3), (5,), 0, 0),
    ((3, 4), (2, 5), 1, 0),
    ((2, 4, 3), (2, 2), -2, 0),
    ((4, 2), (0,), 0, 0),
    ((5, 4), (5, 1), 1, 1),
    ((2, 4, 3), (2, 3, 2), 1, 1),
    ((2, 3, 4, 2), (2, 5), 2, 1),
    ((2, 3, 4), (2, 3, 2), 2, 2),
)


def _gathered(table: tuple[int, ...], index: tuple[int, ...], axis: int, lead: int) -> Shapes:
    axis %= len(table)
    return index, (*table[:axis], *index[lead:], *table[axis + 1 :])


_INDEXING = (
    Row(
        "Gather",
        references.gather,
        tuple(Sample((t, i), {"axis": a, "batch_dims": b}) for t, i, a, b in _GATHERS),
        (FLOAT, Draw("int64", 0, 4)),
        "polynomial",
        integer=True,
    ),
    Row(
        "ScatterAdd",
        references.scatter_add,
        tuple(
            Sample(_gathered(t, i, a, b), {"axis": a % len(t), "batch_dims": b, "size": (4,)})
            for t, i, a, b in _GATHERS
        ),
        (Draw("int64", 0, 4), FLOAT),
        "polynomial",
        integer=True,
    ),
)

ARRAY_ROWS: tuple[Row, ...] = (*_MOVEMENT, *_CONTRACTION, *_INDEXING)
