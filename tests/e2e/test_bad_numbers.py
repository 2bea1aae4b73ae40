"""Numbers that no derivative can be made of: a typed error with its line and cure, never garbage."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import chainrule as cr

X = np.array([1.0, 2.0, 3.0])


class Case(NamedTuple):
    """A call, the error's class, its code, and words of it: what failed, and what to do."""

    f: Callable[..., Any]
    args: tuple[Any, ...]
    error: type[cr.ChainruleError]
    code: str
    says: str
    cure: str


def nested(a: Any) -> Any:
    def steps(c: Any) -> Any:
        return cr.scan(lambda c, _: (c + 1, None), c, length=10_000)[0]

    return cr.scan(lambda c, _: (steps(c), None), a, length=10_000)[0]


def apart(a: Any) -> Any:
    return cr.fixed_point(lambda x: x * x + a, 3.0, max_iter=20)


EMPTY, SINGULAR = np.zeros((2, 0)), np.array([[1.0, 2.0], [2.0, 4.0]])
REFUSED = {
    "inverse of a singular matrix": Case(
        np.linalg.inv, (SINGULAR,), cr.NumericError, "NUMERIC_FAILURE", "Solve", "identity"
    ),
    "solution of a singular system": Case(
        np.linalg.solve, (SINGULAR, X[:2]), cr.NumericError, "NUMERIC_FAILURE", "Solve", "identity"
    ),
    "cholesky of an indefinite matrix": Case(
        np.linalg.cholesky,
        (-np.eye(2),),
        cr.NumericError,
        "NUMERIC_FAILURE",
        "Cholesky",
        "identity",
    ),
    "index of 10^12": Case(
        lambda t, i: t[i],
        (X, np.array([0, 10**12])),
        cr.NumericError,
        "INDEX_RANGE",
        "Gather.*1000000000000",
        "from 0 to 2",
    ),
    "index below the first": Case(
        lambda t, i: t[i],
        (X, np.array([-4])),
        cr.NumericError,
        "INDEX_RANGE",
        "Gather",
        "from 0 to 2",
    ),
    "label out of range": Case(
        cr.losses.softmax_cross_entropy,
        (np.ones((2, 3)), np.array([0, 3])),
        cr.NumericError,
        "INDEX_RANGE",
        "3",
        "from 0 to 2",
    ),
    "maximum of nothing": Case(
        lambda x: np.max(x, axis=1),
        (EMPTY,),
        cr.ShapeMismatch,
        "EMPTY_REDUCTION",
        "maximum",
        "size first",
    ),
    "argmax of nothing": Case(
        lambda x: np.argmax(x, axis=1),
        (EMPTY,),
        cr.ShapeMismatch,
        "EMPTY_REDUCTION",
        "argmax",
        "size first",
    ),
    "softmax of nothing": Case(
        cr.nn.softmax, (EMPTY,), cr.ShapeMismatch, "EMPTY_REDUCTION", "softmax", "size first"
    ),
    "NaN made an integer": Case(
        lambda x: x.astype(np.int64),
        (np.array([1.0, np.nan]),),
        cr.NumericError,
        "NUMERIC_FAILURE",
        "Cast.*nan",
        "np.where",
    ),
    "integer divided by 0": Case(
        lambda a, b: a // b,
        (np.array([3]), np.array([0])),
        cr.NumericError,
        "NUMERIC_FAILURE",
        "divided by 0",
        "np.where",
    ),
    "integer to a negative power": Case(
        lambda a: a**-1,
        (np.array([3]),),
        cr.TraceError,
        "TRACE",
        "negative powers",
        "astype",
    ),
    "fixed point of no contraction": Case(
        apart, (1.0,), cr.NotConverged, "NOT_CONVERGED", "FixedPoint", "contraction"
    ),
    "loop without a bound": Case(
        lambda a: cr.while_loop(lambda c: c < 9, lambda c: c + 1, a),
        (0.0,),
        cr.TraceError,
        "TRACE",
        "without max_iter",
        "max_iter=100",
    ),
    "loop of 10^12 steps": Case(
        lambda a: cr.scan(lambda c, _: (c + 1, None), a, length=10**12)[0],
        (0.0,),
        cr.TraceError,
        "TRACE",
        "1000000000000 steps",
        "1000000",
    ),
    "loops of 10^8 steps together": Case(
        nested, (0.0,), cr.LimitExceeded, "COST_FLOPS", "100000000 steps together", "fewer steps"
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_call_says_what_failed_where_and_what_to_do(client: cr.Client, name: str) -> None:
    case = REFUSED[name]
    with pytest.raises(case.error, match=f"(?s){case.says}") as caught:
        client.value(lambda *args: case.f(*args), *case.args)
    assert caught.value.code.name == case.code
    assert str(caught.value.line).startswith("test_bad_numbers.py:")
    assert case.cure in str(caught.value.cure)
    # and nobody else notices
    assert client.value(np.sum, X) == 6.0


def test_what_is_not_finite_is_said(client: cr.Client) -> None:
    result = client.compute(lambda x: np.sum(np.log(x)), np.array([-1.0]))
    assert np.isnan(result.value) and not result.finite
    session = client.create_session(
        lambda w, x: np.sum(np.log(w * x)), np.ones(3), optimizer=cr.optim.sgd(0.1)
    )
    with pytest.raises(cr.NonFinite, match="nothing was applied") as caught:
        session.step(-X[None])
    assert caught.value.cure
    session.close()


def test_a_mean_of_nothing_is_not_finite(client: cr.Client) -> None:
    assert np.isnan(client.value(np.mean, np.zeros(0)))
    assert client.value(np.sum, np.zeros(0)) == 0.0
