"""What a batch must be, and how many examples it has."""

import numpy as np
import pytest

from chainrule.errors import ChainruleError, ErrorCode
from chainrule.ir.avals import Aval, BatchDim, DType
from chainrule.ir.builder import Builder
from chainrule.ir.graph import Function
from chainrule.ir.tensors import Array
from chainrule_server.sessions.feeds import batch_size


def function(**avals: Aval) -> Function:
    b = Builder()
    rows = [b.input(name.replace("_", "/"), aval) for name, aval in avals.items()]
    return b.finish(rows, [f"out{i}" for i in range(len(rows))])


IMAGES = function(
    batch_0=Aval(DType.FLOAT32, (BatchDim(), 3)),
    batch_1=Aval(DType.INT64, (BatchDim(2),)),
    params_w=Aval(DType.FLOAT64, (3,)),
)


def feeds(n: int = 4, m: int = 8) -> dict[str, Array]:
    return {"batch/0": np.zeros((n, 3), np.float32), "batch/1": np.zeros(m, np.int64)}


def test_the_size_is_read_off_the_batched_axes() -> None:
    assert batch_size(IMAGES, feeds()) == 4
    assert batch_size(IMAGES, feeds(), examples=4) == 4


def test_without_batched_axes_there_is_one_example() -> None:
    assert batch_size(function(batch_0=Aval(DType.FLOAT64, (2,))), {"batch/0": np.zeros(2)}) == 1


@pytest.mark.parametrize(
    ("given", "examples", "code"),
    [
        (feeds(4, 10), 0, ErrorCode.BATCH_MISMATCH),
        (feeds(), 5, ErrorCode.BATCH_MISMATCH),
        (feeds(0, 0), 0, ErrorCode.BATCH_MISMATCH),
        (feeds(4, 9), 0, ErrorCode.SHAPE_MISMATCH),
        (feeds() | {"batch/0": np.zeros((4, 2), np.float32)}, 0, ErrorCode.SHAPE_MISMATCH),
        (feeds() | {"batch/0": np.zeros(4, np.float32)}, 0, ErrorCode.SHAPE_MISMATCH),
        (feeds() | {"batch/0": np.zeros((4, 3))}, 0, ErrorCode.DTYPE_MISMATCH),
        (feeds() | {"batch/2": np.zeros(1)}, 0, ErrorCode.BAD_FIELD),
        (feeds() | {"params/w": np.zeros(3)}, 0, ErrorCode.BAD_FIELD),
        ({"batch/0": np.zeros((4, 3), np.float32)}, 0, ErrorCode.MISSING_FIELD),
    ],
)
def test_what_does_not_fit_is_refused_with_its_reason(
    given: dict[str, Array], examples: int, code: ErrorCode
) -> None:
    with pytest.raises(ChainruleError) as info:
        batch_size(IMAGES, given, examples)
    assert info.value.code is code
    assert info.value.cure
