"""What the tests of ops do with a row: draw, lay out, run, differentiate, and ask an oracle."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

from chainrule.ir.attrs import AttrValue
from chainrule.ir.avals import Aval, DType
from chainrule.ir.builder import Builder
from chainrule_server.engine import autodiff
from chainrule_server.engine.executor import evaluate
from chainrule_server.engine.flat import Flat
from chainrule_server.engine.ops import OPS
from chainrule_server.engine.passes.dce import eliminate
from chainrule_server.engine.plan import plan_function
from support.op_row import LAYOUTS as LAYOUTS
from support.op_row import Draw, Row, Sample
from support.references import mean_of_largest

Array = NDArray[Any]


def rng_for(*names: object) -> np.random.Generator:
    """A generator whose seed is what it is for."""
    return np.random.default_rng(list("/".join(map(str, names)).encode()))


def draw_of(row: Row, position: int) -> Draw:
    """The domain of an input; a variadic op repeats its last."""
    return row.draws[min(position, len(row.draws) - 1)]


def draw(row: Row, sample: Sample, dtype: DType, rng: np.random.Generator) -> list[Array]:
    """One array an input, in the domain."""
    return [_draw_one(draw_of(row, i), s, dtype, rng) for i, s in enumerate(sample.shapes)]


def _draw_one(how: Draw, shape: tuple[int, ...], dtype: DType, rng: np.random.Generator) -> Array:
    match how.kind:
        case "bool":
            return np.asarray(rng.integers(0, 2, shape)).astype(bool)
        case "int64":
            return np.asarray(rng.integers(int(how.low), int(how.high), shape))
        case "key":
            return rng.integers(0, 2**32, shape).astype(np.uint32)
        case "bits" if dtype is DType.BOOL:
            return np.asarray(rng.integers(0, 2, shape)).astype(bool)
        case "positive-definite" | "dominant" | "apart":
            return _matrix(how.kind, shape, rng).astype(dtype.numpy)
        case "float" if dtype.is_float:
            return np.asarray(rng.uniform(how.low, how.high, shape)).astype(dtype.numpy)
    return np.asarray(rng.integers(int(how.low), int(how.high) + 1, shape)).astype(dtype.numpy)


def _matrix(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    rows, columns = shape[-2:]
    noise = rng.uniform(-1.0, 1.0, shape)
    if kind == "positive-definite":
        return np.asarray(noise @ np.swapaxes(noise, -1, -2) + rows * np.eye(rows))
    diagonal = np.eye(rows, columns)
    if kind == "apart":
        # entries some units apart, and little beside the diagonal
        return np.asarray(0.5 * noise + diagonal * (2.0 + 2.0 * np.arange(columns)))
    # columns of which no triangle grows large
    return np.asarray(noise / max(rows, 1) + 2.0 * diagonal)


def laid_out(x: Array, layout: str) -> Array:
    """Values like those of x behind other strides; `repeated` takes its first element throughout."""
    if not x.ndim:
        return x
    match layout:
        case "transposed":
            return np.ascontiguousarray(x.T).T
        case "strided":
            wide = np.zeros(tuple(2 * d for d in x.shape), x.dtype)
            inner = wide[(slice(None, None, 2),) * x.ndim]
            inner[...] = x
            return inner
        case "flipped":
            every = tuple(range(x.ndim))
            return np.flip(np.ascontiguousarray(np.flip(x, every)), every)
        case "repeated" if x.size:
            return np.broadcast_to(x.reshape(-1)[0], x.shape)
    return x


def avals_of(arrays: Sequence[Array]) -> tuple[Aval, ...]:
    """dtype and shape of arrays."""
    return tuple(Aval(DType.of(x.dtype), x.shape) for x in arrays)


def node(op: str, avals: Sequence[Aval], attrs: dict[str, AttrValue]) -> Flat:
    """A function of one node."""
    b = Builder()
    inputs = [b.input(f"x{i}", aval) for i, aval in enumerate(avals)]
    return Flat(b.finish([b.add(op, *inputs, **attrs)], ["y"]), b.debug())


def run(flat: Flat, arrays: Sequence[Array]) -> list[Array]:
    """Plan and run; inputs are made contiguous, as a plan's are."""
    owned = [np.array(x, order="C") for x in arrays]
    return evaluate(plan_function(flat.function), owned)


def apply_kernel(
    op: str, arrays: Sequence[Array], attrs: dict[str, AttrValue], out: Array
) -> Array:
    """Run one kernel on arrays of any layout; gives `out`, or the view."""
    meaning, ins = OPS[op], tuple(arrays)
    if meaning.view is not None:
        shown = meaning.view(ins[0], attrs, out.shape)
        if shown is not None:
            return shown
    assert meaning.bind is not None
    thunk = meaning.bind(ins, out, attrs)
    with np.errstate(all="ignore"):
        thunk()
    return out


def out_aval(op: str, arrays: Sequence[Array], attrs: dict[str, AttrValue]) -> Aval:
    """What the signature says comes out."""
    return node(op, avals_of(arrays), attrs).function.out_avals[0]


def empty(aval: Aval) -> Array:
    """An uninitialised output, with nonsense in it so that what a kernel leaves out shows."""
    out = np.empty(aval.dims, aval.dtype.numpy)
    out.view(np.uint8 if out.ndim else out.dtype).fill(1)
    return out


def wrt_of(arrays: Sequence[Array]) -> tuple[int, ...]:
    """Inputs that have a derivative."""
    return tuple(i for i, x in enumerate(arrays) if x.dtype.kind == "f")


def spread(wrt: Sequence[int], arrays: Sequence[Array], values: Sequence[Array]) -> list[Array]:
    """A tangent for every input: the given ones, zeros elsewhere."""
    found = dict(zip(wrt, values, strict=True))
    return [found.get(i, np.zeros(x.shape)) for i, x in enumerate(arrays)]


def first(flat: Flat, wrt: Sequence[int]) -> Flat:
    """(x, t) -> y_t."""
    made = autodiff.jvp(flat, wrt, (0,))
    return only(made, [1])


def second(flat: Flat, wrt: Sequence[int]) -> Flat:
    """(x, t, s) -> the second derivative of y in directions t and s: a tangent of a tangent."""
    return only(autodiff.jvp(first(flat, wrt), wrt, (0,)), [1])


def third(flat: Flat, wrt: Sequence[int]) -> Flat:
    """(x, t, s, r) -> the third derivative of y in directions t, s and r."""
    return only(autodiff.jvp(second(flat, wrt), wrt, (0,)), [1])


def reverse(flat: Flat, wrt: Sequence[int]) -> Flat:
    """(x, ct) -> x_ct."""
    made = autodiff.vjp(flat, wrt, (0,))
    return only(made, range(1, 1 + len(wrt)))


def only(flat: Flat, outputs: Sequence[int]) -> Flat:
    """The function with some of its outputs, renamed so that a further derivative repeats no name."""
    f = flat.function
    picked = tuple(f.outputs[k] for k in outputs)
    names = tuple(f"y{k}" for k in range(len(picked)))
    n = f.n_inputs
    attrs = (*((("name", f"x{k}"),) for k in range(n)), *f.attrs[n:])
    kept = type(f)(f.name, f.ops, f.inputs, attrs, f.avals, picked, names)
    return Flat(*eliminate(kept, flat.debug))


def oracle_first(
    row: Row, attrs: dict[str, AttrValue], arrays: Sequence[Array], t: Sequence[Array]
) -> Array:
    """The derivative in direction t, without our rules."""
    if row.oracle == "max":
        return mean_of_largest(arrays[0], t[0], attrs["axes"], bool(attrs["keepdims"]))  # type: ignore[arg-type]
    if row.oracle == "array":
        return _differences(row, attrs, arrays, [t])
    if row.oracle == "polynomial":
        return _complex_step(row, attrs, arrays, t)
    return _mpmath(row, attrs, arrays, [t])


def oracle_second(
    row: Row,
    attrs: dict[str, AttrValue],
    arrays: Sequence[Array],
    t: Sequence[Array],
    s: Sequence[Array],
) -> Array:
    """The second derivative in directions t and s, without our rules."""
    if row.oracle == "max":
        return np.zeros(np.shape(row.value(*arrays, **attrs)))
    if row.oracle == "array":
        return _differences(row, attrs, arrays, [t, s])
    if row.oracle == "polynomial":
        # of degree 2: the first derivative is affine, so its central difference is exact at any step
        ahead = [x + d if x.dtype.kind == "f" else x for x, d in zip(arrays, s, strict=True)]
        behind = [x - d if x.dtype.kind == "f" else x for x, d in zip(arrays, s, strict=True)]
        there = _complex_step(row, attrs, ahead, t)
        return (there - _complex_step(row, attrs, behind, t)) / 2
    return _mpmath(row, attrs, arrays, [t, s])


def oracle_third(
    row: Row, attrs: dict[str, AttrValue], arrays: Sequence[Array], t: Sequence[Array]
) -> Array:
    """The third derivative, three times in direction t: zero but for what mpmath differentiates."""
    if row.oracle == "array":
        return _differences(row, attrs, arrays, [t, t, t])
    if row.oracle != "mpmath":
        return np.zeros(np.shape(row.value(*arrays, **attrs)))
    return _mpmath(row, attrs, arrays, [t, t, t])


def _complex_step(
    row: Row, attrs: dict[str, AttrValue], arrays: Sequence[Array], t: Sequence[Array]
) -> Array:
    """Im f(x + i h t) / h: no difference is taken, so h may be as small as one likes."""
    h = 1e-150
    moved = [x + 1j * h * d if x.dtype.kind == "f" else x for x, d in zip(arrays, t, strict=True)]
    # h shows in the product of two imaginary parts only below the smallest number
    return np.asarray(np.imag(row.value(*moved, **attrs)) / h)


def _mpmath(
    row: Row,
    attrs: dict[str, AttrValue],
    arrays: Sequence[Array],
    directions: Sequence[Sequence[Array]],
) -> Array:
    """Elementwise: the derivative along the directions of a function of as many numbers, to 50 digits."""
    assert row.exact is not None
    count, order = len(arrays), len(directions)
    together = np.broadcast_arrays(*arrays, *(t for d in directions for t in d))
    out = np.zeros(together[0].shape)
    exact = row.exact
    with mpmath.workdps(50):
        for at in np.ndindex(*out.shape):
            here = [mpmath.mpf(float(a[at])) for a in together[:count]]
            along = [
                [mpmath.mpf(float(a[at])) for a in together[count * (k + 1) : count * (k + 2)]]
                for k in range(order)
            ]

            def line(*steps: Any, here: Any = here, along: Any = along) -> Any:
                moved = [
                    x + sum(h * d[i] for h, d in zip(steps, along, strict=True))
                    for i, x in enumerate(here)
                ]
                return exact(*moved, **attrs)

            out[at] = float(mpmath.diff(line, (0,) * order, (1,) * order))
    return out


def _differences(
    row: Row,
    attrs: dict[str, AttrValue],
    arrays: Sequence[Array],
    directions: Sequence[Sequence[Array]],
) -> Array:
    """Central differences of `exact` at a step of 1e-12, in 70 digits: one function value a corner."""
    assert row.exact is not None
    with mpmath.workdps(70):
        step = mpmath.mpf(10) ** -12
        here = [_exact(x) for x in arrays]
        along = [[_exact(t) for t in direction] for direction in directions]
        total: Any = 0
        for signs in product((-1, 1), repeat=len(directions)):
            moved = here
            for sign, direction in zip(signs, along, strict=True):
                moved = [x + t * (sign * step) for x, t in zip(moved, direction, strict=True)]
            total = total + int(np.prod(signs)) * row.exact(*moved, **attrs)
        return np.asarray(total / (2 * step) ** len(directions)).astype(np.float64)


def _exact(x: Array) -> Array:
    out = np.empty(x.shape, object)
    for at in np.ndindex(*x.shape):
        out[at] = mpmath.mpf(float(x[at]))
    return out


def flops(flat: Flat) -> int:
    """Counted work of a function with plain shapes."""
    f = flat.function
    return sum(
        OPS[op].cost(tuple(f.avals[i] for i in inputs), aval, dict(attrs))
        for _, op, inputs, attrs, aval in f
        if op != "Input"
    )
