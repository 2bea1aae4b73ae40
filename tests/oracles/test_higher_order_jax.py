"""Meta-learning, equilibria, hypergradients and PINNs: one request each, equal to JAX's to 1e-8."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from support.higher_order import PROBLEMS

pytestmark = pytest.mark.oracle

OURS = SimpleNamespace(
    grad=cr.grad,
    jvp=cr.jvp,
    hessian=cr.hessian,
    vmap=cr.vmap,
    fixed_point=lambda f, x0: cr.fixed_point(f, x0, max_iter=500, tol=1e-13),
)


def theirs(jax: Any) -> SimpleNamespace:
    """JAX's transforms; its fixed point is five hundred steps, differentiated through."""

    def fixed_point(f: Any, x0: Any) -> Any:
        return jax.lax.scan(lambda x, _: (f(x), None), x0, None, length=500)[0]

    return SimpleNamespace(
        grad=jax.grad, jvp=jax.jvp, hessian=jax.hessian, vmap=jax.vmap, fixed_point=fixed_point
    )


@pytest.mark.parametrize("name", PROBLEMS)
def test_one_request_equals_jax(client: cr.Client, jax: Any, name: str) -> None:
    problem, args = PROBLEMS[name]
    value, gradient = client.value_and_grad(problem(np, OURS), *args)
    f = problem(jax.numpy, theirs(jax))
    expected = jax.value_and_grad(f)(*jax.tree_util.tree_map(jax.numpy.asarray, args))
    leaves = jax.tree_util.tree_leaves((value, gradient))
    for have, want in zip(leaves, jax.tree_util.tree_leaves(expected), strict=True):
        want = np.asarray(want)
        assert np.abs(have - want).max() <= 1e-8 * (1 + np.abs(want).max())
