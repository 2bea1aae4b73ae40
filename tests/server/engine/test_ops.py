"""Every rule of the op table, first and second order, against an oracle that owes nothing to it."""

from collections.abc import Iterator

import numpy as np
import pytest

from chainrule.ir.avals import DType
from chainrule_server.engine.flat import Flat
from support.op_cases import ROWS
from support.op_checks import (
    Array,
    avals_of,
    draw,
    first,
    node,
    only,
    oracle_first,
    oracle_second,
    oracle_third,
    reverse,
    rng_for,
    run,
    second,
    spread,
    third,
    wrt_of,
)
from support.op_row import Row, Sample

DIFFERENTIABLE = [row for row in ROWS if row.oracle != "none"]


def cases(*without: str) -> Iterator[object]:
    for row in DIFFERENTIABLE:
        if row.op in without:
            continue
        for number, sample in enumerate(row.samples):
            if row.affordable is None or row.affordable(sample):
                yield pytest.param(row, sample, id=f"{row.op}-{number}")


def prepared(
    row: Row, sample: Sample, dtype: DType = DType.FLOAT64
) -> tuple[Flat, tuple[int, ...], list[Array], np.random.Generator]:
    rng = rng_for(row.op, sample.shapes, sample.attrs)
    arrays = draw(row, sample, dtype, rng)
    return node(row.op, avals_of(arrays), sample.attrs), wrt_of(arrays), arrays, rng


def directions(rng: np.random.Generator, arrays: list[Array], wrt: tuple[int, ...]) -> list[Array]:
    return [rng.standard_normal(arrays[i].shape).astype(arrays[i].dtype) for i in wrt]


def close(found: Array, expected: Array, rtol: float) -> None:
    """Relative to the largest element: a derivative of 0 may come out as a rounding error of its terms."""
    scale = float(np.max(np.abs(expected), initial=1.0))
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * scale)


@pytest.mark.parametrize(("row", "sample"), tuple(cases()))
def test_first_and_second_derivative(row: Row, sample: Sample) -> None:
    flat, wrt, arrays, rng = prepared(row, sample)
    t, s = directions(rng, arrays, wrt), directions(rng, arrays, wrt)
    every_t, every_s = spread(wrt, arrays, t), spread(wrt, arrays, s)
    (y_t,) = run(first(flat, wrt), [*arrays, *t])
    close(y_t, oracle_first(row, sample.attrs, arrays, every_t), row.tolerance)
    (y_ts,) = run(second(flat, wrt), [*arrays, *t, *s])
    close(
        y_ts, oracle_second(row, sample.attrs, arrays, every_t, every_s), max(row.tolerance, 1e-12)
    )


@pytest.mark.parametrize(("row", "sample"), tuple(cases()))
def test_third_derivative(row: Row, sample: Sample) -> None:
    flat, wrt, arrays, rng = prepared(row, sample)
    t = directions(rng, arrays, wrt)
    (found,) = run(third(flat, wrt), [*arrays, *t, *t, *t])
    close(found, oracle_third(row, sample.attrs, arrays, spread(wrt, arrays, t)), row.third)


@pytest.mark.parametrize(("row", "sample"), tuple(cases()))
def test_reverse_is_the_adjoint_of_forward(row: Row, sample: Sample) -> None:
    """<ct, df t> = <df^T ct, t>, and once more for the second derivative, in both of its orders."""
    flat, wrt, arrays, rng = prepared(row, sample)
    t, s = directions(rng, arrays, wrt), directions(rng, arrays, wrt)
    (y_t,) = run(first(flat, wrt), [*arrays, *t])
    ct = rng.standard_normal(y_t.shape).astype(y_t.dtype)
    backward = reverse(flat, wrt)
    x_cts = run(backward, [*arrays, ct])
    assert [x.shape for x in x_cts] == [arrays[i].shape for i in wrt]
    equal_products([ct], [y_t], x_cts, t)

    (y_ts,) = run(second(flat, wrt), [*arrays, *t, *s])
    # reverse of forward: the gradient of <ct, y_t(x)>
    forward_reverse = run(reverse(first(flat, wrt), wrt), [*arrays, *t, ct])
    equal_products([ct], [y_ts], forward_reverse, s)
    # reverse of reverse: the gradient of <x_ct(x), t>, one input's cotangent at a time
    k = len(wrt)
    total = [np.zeros(arrays[i].shape) for i in wrt]
    for position in range(k):
        one = only(backward, [position])
        found = run(reverse(one, wrt), [*arrays, ct, t[position]])
        total = [a + b for a, b in zip(total, found, strict=True)]
    equal_products([ct], [y_ts], total, s)


@pytest.mark.parametrize(("row", "sample"), tuple(cases()))
def test_reverse_of_the_second_derivative_is_the_third(row: Row, sample: Sample) -> None:
    """<ct, d3f(t, t, t)> by the oracle = <gradient of <ct, d2f(t, t)>, t>."""
    flat, wrt, arrays, rng = prepared(row, sample)
    t = directions(rng, arrays, wrt)
    expected = oracle_third(row, sample.attrs, arrays, spread(wrt, arrays, t))
    ct = rng.standard_normal(expected.shape).astype(flat.function.out_avals[0].dtype.numpy)
    found = run(reverse(second(flat, wrt), wrt), [*arrays, *t, *t, ct])
    left = float(np.vdot(ct, expected))
    right = sum(float(np.vdot(a, b)) for a, b in zip(found, t, strict=True))
    scale = 1 + norm([ct]) * norm([expected])
    assert abs(left - right) <= max(row.third, 1e-6 * (ct.dtype == np.float32)) * scale


def test_every_row_is_tried_at_three_points_or_more_and_to_the_third_order() -> None:
    """No hole in op x order: an op with a derivative has an oracle, points, and tolerances as promised."""
    for row in DIFFERENTIABLE:
        tried = [s for s in row.samples if row.affordable is None or row.affordable(s)]
        numbers = sum(max(int(np.prod(x)) for x in s.shapes) for s in tried)
        assert numbers + len(row.points) >= 3, row.op
        assert row.third <= 1e-7, row.op
        # a Cast to float32 has no more digits
        assert row.tolerance <= 1e-9 or row.op == "Cast", row.op


def equal_products(a: list[Array], b: list[Array], c: list[Array], d: list[Array]) -> None:
    """<a, b> = <c, d>, relative to |a| |b|."""
    left = sum(float(np.vdot(x, y)) for x, y in zip(a, b, strict=True))
    right = sum(float(np.vdot(x, y)) for x, y in zip(c, d, strict=True))
    single = any(x.dtype == np.float32 for x in (*a, *b))
    scale = norm(a) * norm(b) + np.finfo(float).tiny
    assert abs(left - right) <= (1e-6 if single else 1e-12) * scale


def norm(arrays: list[Array]) -> float:
    return float(np.sqrt(sum(float(np.vdot(x, x)) for x in arrays)))


# Cast names its dtype, so there is nothing to compare.
@pytest.mark.parametrize(("row", "sample"), tuple(cases("Cast")))
def test_float32_follows_float64(row: Row, sample: Sample) -> None:
    _, wrt, singles, rng = prepared(row, sample, DType.FLOAT32)
    doubles = [x.astype(np.float64) if x.dtype == np.float32 else x for x in singles]
    attrs = dict(sample.attrs)
    t, s = directions(rng, doubles, wrt), directions(rng, doubles, wrt)
    for derive, extra in ((first, t), (second, [*t, *s])):
        (high,) = run(derive(node(row.op, avals_of(doubles), attrs), wrt), [*doubles, *extra])
        low_flat = derive(node(row.op, avals_of(singles), attrs), wrt)
        (low,) = run(low_flat, [*singles, *(x.astype(np.float32) for x in extra)])
        assert low.dtype == np.float32
        close(low, high, row.single)


def points() -> Iterator[object]:
    for row in DIFFERENTIABLE:
        for number, _ in enumerate(row.points):
            yield pytest.param(row, number, id=f"{row.op}-{number}")


@pytest.mark.parametrize(("row", "number"), tuple(points()))
def test_ties_kinks_and_zeros(row: Row, number: int) -> None:
    point = row.points[number]
    arrays: list[Array] = [np.array(x) for x in point.at]
    wrt = wrt_of(arrays)
    backward = reverse(node(row.op, avals_of(arrays), point.attrs), wrt)
    partials = [float(x) for x in run(backward, [*arrays, np.array(1.0)])]
    np.testing.assert_allclose(partials, point.first, rtol=1e-14)
    for position, expected in enumerate(point.second):
        cts = run(reverse(only(backward, [position]), wrt), [*arrays, np.array(1.0), np.array(1.0)])
        np.testing.assert_allclose([float(x) for x in cts], expected, rtol=1e-14)
