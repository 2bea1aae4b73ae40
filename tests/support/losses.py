"""Batched functions that training really meets, each a way in which parts of a batch combine."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from chainrule.ir.avals import Aval, BatchDim, DType
from chainrule.ir.expr import (
    Expr,
    apply,
    arg_sort,
    cast,
    concat,
    cum_sum,
    dft,
    exp,
    expand,
    gather,
    log,
    reduce_max,
    reduce_sum,
    reshape,
    scatter_add,
    sin,
    sqrt,
    tanh,
    transpose,
    unfold,
)
from chainrule.ir.matrices import (
    as_diagonal,
    cholesky,
    eigh,
    identity,
    log_abs_det,
    qr,
    solve,
    svd,
    triangular_solve,
)
from support.written import N, f8, i8

Body = Callable[..., Expr | dict[str, Expr]]
_NET = {"w": f8(3, 2), "x": f8(N, 3), "y": f8(N, 2)}


@dataclass(frozen=True)
class Loss:
    """A graph to split; `wrt` are the inputs to differentiate with respect to."""

    name: str
    inputs: Mapping[str, Aval]
    body: Body
    wrt: tuple[str, ...] = field(default=("w",))


def n_of(x: Expr) -> Expr:
    """The size of the whole batch as a float."""
    return cast(Expr(x.b, x.b.add("DimSize")), x.dtype)


def iota(x: Expr, *shape: int | BatchDim, axis: int) -> Expr:
    """The global index along an axis."""
    return Expr(x.b, x.b.add("Iota", dtype=DType.FLOAT64, shape=shape, axis=axis))


def total(x: Expr) -> Expr:
    """The sum of everything."""
    return reduce_sum(x, range(x.aval.rank))


def error(w: Expr, x: Expr, y: Expr) -> Expr:
    """One squared error an example."""
    return reduce_sum((tanh(x @ w) - y) ** 2, (1,))


def _mean(w: Expr, x: Expr, y: Expr) -> Expr:
    return total(error(w, x, y)) / n_of(x)


def _masked(w: Expr, x: Expr, y: Expr, m: Expr) -> Expr:
    return total(error(w, x, y) * m) / total(m)


def _weighted_twice(w: Expr, x: Expr, y: Expr, m: Expr, v: Expr) -> Expr:
    e = error(w, x, y)
    return total(e * m) / total(m) + 0.5 * total(sin(e) * v) / total(v)


def _moments(w: Expr, x: Expr, y: Expr) -> Expr:
    e = error(w, x, y)
    mean = total(e) / n_of(x)
    return log(mean + 1.0) + sqrt(total(e * e) / n_of(x) + 1.0)


def _per_example(w: Expr, x: Expr, y: Expr) -> dict[str, Expr]:
    h = tanh(x @ w)
    pairs = concat([h, y], 0)
    return {
        "loss": _mean(w, x, y),
        "each": error(w, x, y),
        "columns": transpose(h, (1, 0)),
        "flat": reshape(h, (BatchDim(2),)),
        "turned": reshape(transpose(h, (1, 0)), (BatchDim(2),)),
        "pairs": pairs,
        "wide": reshape(pairs, (2, N, 2)) * 2.0,
        "index": iota(x, N, 2, axis=0),
        "numbered": h + iota(x, N, 2, axis=0) + n_of(x),
        "across": iota(x, N, 4, axis=1),
        "same": expand(w, (2, 3, 2)),
    }


def _max(w: Expr, x: Expr, y: Expr) -> Expr:
    e = error(w, x, y)
    return reduce_max(e, (0,)) + total(e) / n_of(x)


def _log_of_mean_exp(w: Expr, x: Expr, y: Expr) -> Expr:
    return log(total(exp(-error(w, x, y))) / n_of(x))


def _l2(w: Expr, x: Expr, y: Expr) -> Expr:
    return _mean(w, x, y) + 0.01 * total(w * w)


def _embedding(w: Expr, k: Expr) -> Expr:
    rows = gather(w, k, 0)
    return total(sin(rows) * rows) / n_of(k_float(k)) + total(w * w) * 0.1


def k_float(k: Expr) -> Expr:
    """An integer value as float64."""
    return cast(k, DType.FLOAT64)


def _histogram(w: Expr, x: Expr, k: Expr) -> Expr:
    sums = scatter_add(k, x @ w, 0, 3)
    return total(sin(sums) * 0.1)


def _cross_entropy(w: Expr, x: Expr, k: Expr) -> Expr:
    return total(apply("SoftmaxCrossEntropy", x @ w, k)) / n_of(x)


def _batch_norm(w: Expr, x: Expr, y: Expr) -> Expr:
    h = x @ w
    mean = reduce_sum(h, (0,)) / n_of(x)
    var = reduce_sum((h - mean) ** 2, (0,)) / n_of(x)
    return total(((h - mean) / sqrt(var + 1e-3) - y) ** 2) / n_of(x)


def _info_nce(w: Expr, x: Expr, y: Expr) -> Expr:
    z1, z2 = x @ w, y
    logits = z1 @ z2.mT
    return total(log(reduce_sum(exp(logits), (1,)))) / n_of(x)


def _covariances(w: Expr, x: Expr) -> Expr:
    """A matrix an example: factor, determinant, a system, eigenvalues and singular values."""
    h = reshape(x @ w, (N, 3, 1))
    a = h @ h.mT + identity(x, 3) * 2.0 + as_diagonal(reshape(h, (N, 3)) ** 2)
    low = cholesky(a)
    _, value = log_abs_det(a)
    values, _ = eigh(a)
    q, r = qr(a)
    _, s, _ = svd(a + r * 0.1)
    terms = total(triangular_solve(low, h)) + total(value) + total(solve(a, h))
    return (terms + total(sin(values)) + total(q * r) + total(s)) / n_of(x)


def _normal_equations(w: Expr, x: Expr, y: Expr) -> Expr:
    """Linear algebra of sums over examples: after the round."""
    h = x @ w
    fitted = solve(h.mT @ h / n_of(x) + identity(x, 2), h.mT @ y / n_of(x))
    return total(fitted * fitted)


def _sequences(w: Expr, x: Expr) -> Expr:
    """Windows, running sums, orders and transforms along another axis than the batch."""
    windows = unfold(x, (1,), (3,), (2,), (1,)) @ w
    summed = cum_sum(windows, 1, reverse=True, exclusive=True)
    order = arg_sort(x, 1)
    ordered = gather(x, order, 1, 1)
    spectrum = dft(summed, (1,))
    return (total(spectrum * spectrum) + total(ordered * cum_sum(x, -1)) * total(w)) / n_of(x)


SPLIT = (
    Loss("mean", _NET, _mean, ("w", "x")),
    Loss("masked", {**_NET, "m": f8(N)}, _masked),
    Loss("two losses, two weights", {**_NET, "m": f8(N), "v": f8(N)}, _weighted_twice, ("w", "m")),
    Loss("mean then logs", _NET, _moments),
    Loss("exp of mean", _NET, lambda w, x, y: exp(_mean(w, x, y))),
    Loss("L2 added", _NET, _l2),
    Loss("per example", _NET, _per_example),
    Loss("log of mean of exp", _NET, _log_of_mean_exp),
    Loss("embedding", {"w": f8(3, 2), "k": i8(N)}, _embedding),
    Loss("histogram", {"w": f8(3, 2), "x": f8(N, 3), "k": i8(N)}, _histogram),
    Loss("covariances", {"w": f8(3, 3), "x": f8(N, 3)}, _covariances, ("w", "x")),
    Loss("normal equations", _NET, _normal_equations),
    Loss("sequences", {"w": f8(3, 2), "x": f8(N, 9)}, _sequences, ("w", "x")),
    Loss("cross-entropy", {"w": f8(3, 3), "x": f8(N, 3), "k": i8(N)}, _cross_entropy),
)
# Its derivative shares the cotangent among those that attain the maximum: they are counted in a round more.
MAXIMUM = Loss("maximum", _NET, _max)
COUPLED = (Loss("batch norm", _NET, _batch_norm), Loss("InfoNCE", _NET, _info_nce))
