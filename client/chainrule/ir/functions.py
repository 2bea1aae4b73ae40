"""Library functions: composites that both sides know by name, each with its expansion into primitives.

A graph names one and never carries its body. The engine may run a fused kernel for a name it knows; a test
holds kernel and expansion equal in value and derivatives.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from chainrule.errors import ErrorCode
from chainrule.ir.attrs import AttrSpec, AttrValue
from chainrule.ir.avals import Aval, DType
from chainrule.ir.expr import (
    Expr,
    exp,
    gather,
    less,
    log,
    log1p,
    maximum,
    reduce_max,
    reduce_sum,
    reshape,
    stop_gradient,
    where,
)
from chainrule.ir.rules import EMPTY_CURE, AttrMap, Avals, axis_of, mismatch, require
from chainrule.ir.signature import Signature

if TYPE_CHECKING:
    from chainrule.ir.builder import Builder

Expand = Callable[["Builder", tuple[int, ...], dict[str, AttrValue]], tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class LibraryFunction:
    """A named composite.

    Attributes:
        signature: name, arity, attributes, shape rule.
        version: raised when the expansion changes a bit; part of the numerics record.
        expand: emits the primitives; gives the output rows.
    """

    signature: Signature
    version: int
    expand: Expand


def _elementwise(rule: Callable[[Expr], Expr]) -> Expand:
    def expand(
        b: "Builder", inputs: tuple[int, ...], attrs: dict[str, AttrValue]
    ) -> tuple[int, ...]:
        del attrs
        return (rule(Expr(b, inputs[0])).id,)

    return expand


def _along_axis(rule: Callable[[Expr, int], Expr]) -> Expand:
    def expand(
        b: "Builder", inputs: tuple[int, ...], attrs: dict[str, AttrValue]
    ) -> tuple[int, ...]:
        x = Expr(b, inputs[0])
        return (rule(x, axis_of(cast(int, attrs["axis"]), x.aval.rank)).id,)

    return expand


def _relu(x: Expr) -> Expr:
    # relu'(0) = 0: the branch at 0 carries no derivative. It is max(x, 0) and not 0, so that NaN stays NaN.
    zero = x.like(0)
    return where(less(zero, x), x, stop_gradient(maximum(x, zero)))


def _sigmoid(x: Expr) -> Expr:
    # 1 / (1 + e^-x), held where e^-x is about to overflow: the value is 0 beyond, in this dtype's
    # measure, but the rule would multiply 0 by inf.
    low = x.like(-700 if x.dtype is DType.FLOAT64 else -80)
    return 1.0 / (exp(-where(less(x, low), low, x)) + 1.0)


def _softplus(x: Expr) -> Expr:
    # log(1 + e^x), and x from where the two round to the same. No kink at 0, so every order is right there.
    high = x.like(37)
    below = less(x, high)
    return where(below, log1p(exp(where(below, x, high))), x)


def _shifted(x: Expr, axis: int) -> Expr:
    # Softmax doesn't change when a constant is subtracted, so the maximum carries no derivative.
    return x - stop_gradient(reduce_max(x, (axis,), keepdims=True))


def _softmax(x: Expr, axis: int) -> Expr:
    e = exp(_shifted(x, axis))
    return e / reduce_sum(e, (axis,), keepdims=True)


def _log_softmax(x: Expr, axis: int) -> Expr:
    z = _shifted(x, axis)
    return z - log(reduce_sum(exp(z), (axis,), keepdims=True))


def _cross_entropy(b: "Builder", inputs: tuple[int, ...], attrs: AttrMap) -> tuple[int, ...]:
    # -log softmax(logits)[label], one loss an example
    del attrs
    logits, labels = Expr(b, inputs[0]), Expr(b, inputs[1])
    lead = logits.aval.rank - 1
    picked = gather(_log_softmax(logits, lead), reshape(labels, (*labels.shape, 1)), lead, lead)
    return ((-reshape(picked, labels.shape)).id,)


def _same(avals: Avals, attrs: AttrMap) -> Avals:
    require(avals[0], "float")
    if "axis" in attrs:
        axis = axis_of(cast(int, attrs["axis"]), avals[0].rank)
        if avals[0].shape[axis] == 0:
            raise mismatch("a softmax over an empty axis", ErrorCode.EMPTY_REDUCTION, EMPTY_CURE)
    return (avals[0],)


def _picked(avals: Avals, attrs: AttrMap) -> Avals:
    del attrs
    logits, labels = avals
    require(logits, "float")
    if labels.dtype is not DType.INT64 or labels.shape != logits.shape[:-1] or not logits.rank:
        raise mismatch(
            f"labels {labels} for logits {logits}",
            cure="give int64 class numbers, one for each row of logits",
        )
    if logits.shape[-1] == 0:
        raise mismatch("a softmax over an empty axis", ErrorCode.EMPTY_REDUCTION, EMPTY_CURE)
    return (Aval(logits.dtype, labels.shape),)


def _function(
    name: str,
    expand: Expand,
    *attrs: AttrSpec,
    infer: Callable[[Avals, AttrMap], Avals] = _same,
    arity: int = 1,
) -> LibraryFunction:
    return LibraryFunction(Signature(name, arity, attrs, infer), 1, expand)


_AXIS = AttrSpec("axis", "int", -1)

FUNCTIONS: dict[str, LibraryFunction] = {
    f.signature.name: f
    for f in (
        _function("Relu", _elementwise(_relu)),
        _function("Sigmoid", _elementwise(_sigmoid)),
        _function("Softplus", _elementwise(_softplus)),
        _function("Softmax", _along_axis(_softmax), _AXIS),
        _function("LogSoftmax", _along_axis(_log_softmax), _AXIS),
        _function("SoftmaxCrossEntropy", _cross_entropy, infer=_picked, arity=2),
    )
}
