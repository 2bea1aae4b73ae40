"""Every kernel on every shape, layout and dtype of the op table: values, and the memory they use."""

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest

from chainrule.ir.avals import DType
from chainrule_server.engine.ops import OPS
from support.op_cases import ROWS
from support.op_checks import (
    LAYOUTS,
    Array,
    apply_kernel,
    draw,
    empty,
    laid_out,
    out_aval,
    rng_for,
)
from support.op_row import Row, Sample

# What a call allocates in interpreter objects and iterators, whatever the size of its operands.
OBJECTS = 6 * 1024


def cases() -> Iterator[object]:
    for row in ROWS:
        dtypes = row.dtypes + ((DType.INT64, DType.INT32) if row.integer else ())
        for dtype in dtypes:
            for number, sample in enumerate(row.samples):
                yield pytest.param(row, sample, dtype, id=f"{row.op}-{dtype.label}-{number}")


def tolerance(row: Row, *arrays: Array) -> float:
    single = any(x.dtype == np.float32 for x in arrays)
    return 2e-6 if single else row.tolerance


@pytest.mark.parametrize(("row", "sample", "dtype"), tuple(cases()))
def test_value_is_numpys_for_every_layout(row: Row, sample: Sample, dtype: DType) -> None:
    rng = rng_for(row.op, sample.shapes, dtype)
    drawn = draw(row, sample, dtype, rng)
    aval = out_aval(row.op, drawn, sample.attrs)
    for layout in LAYOUTS:
        arrays = [laid_out(x, layout) for x in drawn]
        with np.errstate(all="ignore"):
            expected = np.asarray(row.value(*arrays, **sample.attrs))
        before = [x.copy() for x in arrays]
        found = apply_kernel(row.op, arrays, sample.attrs, empty(aval))
        assert found.shape == expected.shape == aval.shape
        assert found.dtype == aval.dtype.numpy
        if found.dtype.kind == "f":
            np.testing.assert_allclose(
                found,
                expected,
                rtol=tolerance(row, found, *arrays),
                atol=1e-6 * (found.dtype == np.float32),
            )
        else:
            np.testing.assert_array_equal(found, expected)
        for x, kept in zip(arrays, before, strict=True):
            np.testing.assert_array_equal(x, kept)


@pytest.mark.parametrize("row", [r for r in ROWS if OPS[r.op].inplace], ids=lambda r: r.op)
def test_taking_over_a_buffer_changes_no_bit(row: Row) -> None:
    dtype = row.dtypes[0]
    for sample in row.samples:
        drawn = draw(row, sample, dtype, rng_for(row.op, sample.shapes))
        aval = out_aval(row.op, drawn, sample.attrs)
        expected = apply_kernel(row.op, drawn, sample.attrs, empty(aval))
        for position in OPS[row.op].inplace:
            taken = drawn[position]
            if taken.shape != aval.shape or taken.dtype != aval.dtype.numpy:
                continue
            arrays = list(drawn)
            arrays[position] = taken.copy()
            found = apply_kernel(row.op, arrays, sample.attrs, arrays[position])
            assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("row", [r for r in ROWS if OPS[r.op].bind], ids=lambda r: r.op)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_run_allocates_no_more_than_it_declares(row: Row, layout: str) -> None:
    """On arrays large enough that a hidden copy can't hide."""
    op = OPS[row.op]
    assert op.bind is not None
    for sample in enlarged(row):
        drawn = draw(row, sample, row.dtypes[0], rng_for(row.op, layout, sample.shapes))
        arrays = tuple(laid_out(x, layout) for x in drawn)
        out = empty(out_aval(row.op, arrays, sample.attrs))
        thunk = op.bind(arrays, out, sample.attrs)
        with np.errstate(all="ignore"):
            thunk()
            tracemalloc.start()
            try:
                held, _ = tracemalloc.get_traced_memory()
                tracemalloc.reset_peak()
                thunk()
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
        assert peak - held <= op.workspace(arrays, out, sample.attrs) + OBJECTS, sample


def enlarged(row: Row) -> Iterator[Sample]:
    """Samples of the row with their free axes made long."""
    large: dict[str, tuple[Sample, ...]] = {
        "MatMul": (
            Sample(((90, 80), (80, 70))),
            Sample(((6, 90, 80), (80, 70))),
            Sample(((90, 80), (6, 80, 70))),
            Sample(((6, 90, 80), (6, 80, 70))),
        ),
        "ReduceSum": tuple(
            Sample(((60, 50, 40),), {"axes": axes, "keepdims": False})
            for axes in ((0,), (1,), (2,), (0, 2), (0, 1, 2))
        ),
        "ReduceMax": tuple(
            Sample(((60, 50, 40),), {"axes": axes, "keepdims": True})
            for axes in ((0,), (1,), (2,), (1, 2))
        ),
        "ArgMax": tuple(Sample(((60, 50, 40),), {"axis": axis}) for axis in (0, 1, 2)),
        "Gather": (
            Sample(((4, 3000), (200,)), {"axis": 0, "batch_dims": 0}),
            Sample(((300, 4), (300, 50)), {"axis": 1, "batch_dims": 1}),
        ),
        "ScatterAdd": (
            Sample(((200,), (200, 300)), {"axis": 0, "batch_dims": 0, "size": (4,)}),
            Sample(((300, 50), (300, 50)), {"axis": 1, "batch_dims": 1, "size": (4,)}),
        ),
        "RandomBits": (Sample(((2,), (300, 200)), {"stream": 1}),),
        "Reshape": (Sample(((300, 200),), {"shape": (200, 300)}),),
        "Pad": (Sample(((300, 200),), {"low": (1, -2), "high": (0, 3), "interior": (0, 2)}),),
        "Concat": (Sample(((300, 100), (300, 200)), {"axis": 1}),),
    }
    if row.op in large:
        yield from large[row.op]
        return
    arity = len(row.samples[0].shapes)
    attrs = {**row.samples[-1].attrs}
    yield Sample(((300, 200),) * arity, attrs)
    if arity == 2:
        yield Sample(((300, 200), (200,)), attrs)
        yield Sample(((300, 1), (300, 200)), attrs)
    if row.op == "IntPow":
        yield from (Sample(((300, 200),), {"n": n}) for n in (0, 1, 2, 3, 7, -2))
