"""Views share memory and read none; a reshape that can't be a view says so."""

from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.ir.avals import Aval, DType
from chainrule_server.engine.ops import OPS
from chainrule_server.engine.ops.movement import strides_after_reshape
from chainrule_server.engine.ops.table import phantom
from support import references
from support.op_cases import CASES
from support.op_checks import LAYOUTS, apply_kernel, draw, laid_out, out_aval, rng_for

VIEWS = [name for name, op in OPS.items() if op.view is not None]


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_view_shows_the_memory_of_its_input(name: str, layout: str) -> None:
    row, view = CASES[name], OPS[name].view
    assert view is not None
    for sample in row.samples:
        (x,) = draw(row, sample, DType.FLOAT64, rng_for(name, sample))
        x = laid_out(x, layout)
        shape = out_aval(name, [x], sample.attrs).dims
        shown = view(x, sample.attrs, shape)
        if shown is None:
            assert name == "Reshape"
            continue
        assert shown.shape == shape
        assert not shown.size or np.may_share_memory(shown, x)
        np.testing.assert_array_equal(shown, row.value(x, **sample.attrs))


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_of_a_phantom_tells_the_strides_without_memory(name: str) -> None:
    row, view = CASES[name], OPS[name].view
    assert view is not None
    for sample in row.samples:
        (x,) = draw(row, sample, DType.FLOAT64, rng_for(name))
        shape = out_aval(name, [x], sample.attrs).dims
        real = view(np.ascontiguousarray(x).reshape(x.shape), sample.attrs, shape)
        ghost = view(phantom(Aval(DType.FLOAT64, x.shape)), sample.attrs, shape)
        assert real is not None and ghost is not None
        if real.size:
            assert ghost.strides == real.strides


SHAPES = st.lists(st.sampled_from([1, 2, 3, 4, 6]), max_size=4).filter(lambda s: prod(s) <= 144)


@given(st.data())
def test_strides_after_a_reshape_are_numpys(data: st.DataObject) -> None:
    shape = tuple(data.draw(SHAPES))
    perm = tuple(data.draw(st.permutations(range(len(shape)))))
    steps = tuple(data.draw(st.sampled_from([-1, 1, 2])) for _ in shape)
    base = np.arange(prod(shape)).reshape(shape).transpose(perm)
    x = base[tuple(slice(None, None, step) for step in steps)]
    new = tuple(data.draw(st.permutations(data.draw(factors(x.size)))))
    strides = strides_after_reshape(x.shape, x.strides, new)
    copied = x.reshape(new)
    if strides is None:
        assert not np.may_share_memory(copied, x)
        return
    shown = OPS["Reshape"].view
    assert shown is not None
    found = shown(x, {"shape": new}, new)
    assert found is not None
    np.testing.assert_array_equal(found, copied)


def factors(n: int) -> st.SearchStrategy[list[int]]:
    """Shapes of n elements."""
    divisors = [d for d in range(1, n + 1) if n % d == 0]
    return st.sampled_from(divisors).flatmap(
        lambda d: st.sampled_from([[d, n // d], [d, 1, n // d], [n], [1, n]])
    )


def test_a_reshape_of_scattered_elements_is_a_copy() -> None:
    x = np.arange(6.0).reshape(2, 3).T
    view = OPS["Reshape"].view
    assert view is not None
    assert view(x, {"shape": (6,)}, (6,)) is None
    found = apply_kernel("Reshape", [x], {"shape": (6,)}, np.empty(6))
    assert found.tolist() == [0, 3, 1, 4, 2, 5]


@given(st.data())
def test_pad_is_the_loop(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(0, 4), max_size=2)))
    attrs = {
        "low": tuple(data.draw(st.integers(-6, 4)) for _ in shape),
        "high": tuple(data.draw(st.integers(-6, 4)) for _ in shape),
        "interior": tuple(data.draw(st.integers(0, 3)) for _ in shape),
    }
    x = np.arange(1.0, 1.0 + prod(shape)).reshape(shape)
    size = [
        d + max(d - 1, 0) * i + a + b
        for d, a, b, i in zip(shape, attrs["low"], attrs["high"], attrs["interior"], strict=True)
    ]
    if min(size, default=0) < 0:
        return
    found = apply_kernel("Pad", [x], {**attrs}, np.full(size, np.nan))
    np.testing.assert_array_equal(found, references.pad(x, **attrs))
