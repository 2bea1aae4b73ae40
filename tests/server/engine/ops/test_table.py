"""The contract of an op: equal sets, and kernels that keep to values, buffers and declared memory."""

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest

from chainrule.ir.avals import Aval, DType
from chainrule.ir.primitives import PRIMITIVES
from chainrule.ir.structure import STRUCTURE
from chainrule_server.engine.ops import OPS
from chainrule_server.engine.ops.table import ALL, NoDerivative, phantom
from support.op_cases import CASES, LEAVES, ROWS
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
OBJECTS = 16 * 1024
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
    for layout in row.layouts:
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
                atol=max(1e-6 * (found.dtype == np.float32), row.absolute),
            )
        else:
            np.testing.assert_array_equal(found, expected)
        for x, kept in zip(arrays, before, strict=True):
            np.testing.assert_array_equal(x, kept)


@pytest.mark.parametrize("row", [r for r in ROWS if OPS[r.op].inplace], ids=lambda r: r.op)
def test_neither_taking_over_a_buffer_nor_its_place_changes_a_bit(row: Row) -> None:
    """A plan decides both by liveness, which a memory budget may change; results must not follow it."""
    long = tuple(
        Sample(((n,),) * len(row.samples[0].shapes), row.samples[0].attrs) for n in (7, 5003)
    )
    for dtype in row.dtypes:
        for sample in (*row.samples, *long):
            drawn = draw(row, sample, dtype, rng_for(row.op, sample.shapes))
            aval = out_aval(row.op, drawn, sample.attrs)
            expected = apply_kernel(row.op, drawn, sample.attrs, empty(aval)).tobytes()
            moved = [shifted(x) for x in drawn]
            assert apply_kernel(row.op, moved, sample.attrs, empty(aval)).tobytes() == expected
            for position in OPS[row.op].inplace:
                taken = drawn[position].copy()
                if taken.shape != aval.shape or taken.dtype != aval.dtype.numpy:
                    continue
                arrays = [taken if k == position else x for k, x in enumerate(drawn)]
                found = apply_kernel(row.op, arrays, sample.attrs, taken)
                assert found.tobytes() == expected


def shifted(x: Array) -> Array:
    """The same values three elements further from a cache line."""
    room = np.empty(x.size + 3, x.dtype)
    moved = room[3:].reshape(x.shape)
    moved[...] = x
    return moved


@pytest.mark.parametrize("row", [r for r in ROWS if OPS[r.op].bind], ids=lambda r: r.op)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_run_allocates_no_more_than_it_declares(row: Row, layout: str) -> None:
    """On arrays large enough that a hidden copy can't hide."""
    op = OPS[row.op]
    assert op.bind is not None
    if layout not in row.layouts:
        pytest.skip("singular")
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
        "Polygamma": tuple(Sample(((300, 200),), {"n": n}) for n in (0, 3)),
        "ArgSort": tuple(Sample(((60, 50, 40),), {"axis": axis}) for axis in (0, 1, 2)),
        "CumSum": tuple(
            Sample(((60, 50, 40),), {"axis": axis, "reverse": back, "exclusive": back})
            for axis in (0, 1, 2)
            for back in (False, True)
        ),
        "Fold": (
            Sample(
                ((40, 28, 28, 3, 3),),
                {
                    "axes": (1, 2),
                    "sizes": (3, 3),
                    "strides": (1, 1),
                    "dilations": (1, 1),
                    "lengths": (30, 30),
                },
            ),
            Sample(
                ((60, 1, 200),),
                {
                    "axes": (1,),
                    "sizes": (200,),
                    "strides": (1,),
                    "dilations": (1,),
                    "lengths": (200,),
                },
            ),
        ),
        "Dft": tuple(
            Sample((shape,), {"axes": axes, "inverse": False})
            for shape, axes in (
                ((64, 60, 2), (0, 1)),
                ((4001, 2), (0,)),
                ((40, 30, 20, 2), (0, 2)),
            )
        ),
        "Cholesky": (Sample(((90, 90),)), Sample(((7, 30, 30),))),
        "LogAbsDet": (Sample(((90, 90),)), Sample(((7, 30, 30),))),
        "Eigh": (Sample(((70, 70),)), Sample(((7, 30, 30),))),
        "QR": (Sample(((90, 40),)), Sample(((40, 90),)), Sample(((7, 30, 20),))),
        "SVD": (Sample(((90, 40),)), Sample(((40, 90),)), Sample(((7, 30, 20),))),
        "Solve": (
            Sample(((90, 90), (90, 5))),
            Sample(((7, 30, 30), (30, 2))),
            Sample(((30, 30), (7, 30, 2))),
        ),
        "TriangularSolve": tuple(
            Sample(shapes, {"lower": lower, "transpose": False, "unit": False})
            for lower in (True, False)
            for shapes in (((90, 90), (90, 50)), ((7, 40, 40), (40, 20)))
        ),
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
