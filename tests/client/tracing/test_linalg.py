"""numpy.linalg in traced code, run by the engine: values against NumPy, derivatives by complex step."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from support.traced import compare, numbers, refusal
from support.traced_engine import answer

A = numbers(4, 4) + 5 * np.eye(4)
S = A @ A.T
T = numbers(3, 2, 4)
B = numbers(3, 4, 4) + 5 * np.eye(4)


def assert_same(f: Any, *args: Any, rtol: float = 1e-11) -> None:
    compare(answer(f, *args), f(*args), rtol, 1e-12)


@pytest.mark.parametrize(
    ("f", "args"),
    [
        (np.linalg.solve, (A, numbers(4))),
        (np.linalg.solve, (B, numbers(4, 2))),
        (np.linalg.inv, (B,)),
        (lambda a: tuple(np.linalg.slogdet(a)), (-B[:, :3, :3],)),
        (np.linalg.det, (B,)),
        (np.linalg.det, (B[:, :3, :3],)),
        (np.linalg.det, (B[:, :2, :2],)),
        (np.linalg.det, (B[:, :1, :1],)),
        (np.linalg.cholesky, (S,)),
        (lambda a: tuple(np.linalg.eigh(a)), (S,)),
        (np.linalg.eigvalsh, (S,)),
        (lambda a: tuple(np.linalg.qr(a)), (T,)),
        (lambda a: np.linalg.qr(a, "r"), (A,)),
        (lambda a: tuple(np.linalg.svd(a, full_matrices=False)), (T,)),
        (lambda a: np.linalg.svd(a, compute_uv=False), (T,)),
        (np.linalg.pinv, (numbers(5, 3),)),
        (np.linalg.pinv, (numbers(2, 3, 5),)),
        (lambda a: (np.linalg.matrix_power(a, 5), np.linalg.matrix_power(a, 0)), (A,)),
        (lambda a: np.linalg.matrix_power(a, -3), (A,)),
        (lambda x: [np.linalg.norm(x, p, axis=1) for p in (None, 1, 2, 3, 0.5, 0)], (T,)),
        (lambda x: [np.linalg.norm(x, p, axis=1) for p in (np.inf, -np.inf)], (T,)),
        (lambda x: [np.linalg.norm(x, p, (1, 2)) for p in ("fro", "nuc", 1, -1, 2, -2)], (T,)),
        (lambda x: [np.linalg.norm(x, p, (0, 2), True) for p in (np.inf, -np.inf, "nuc")], (T,)),
        (lambda x: (np.linalg.norm(x), np.linalg.norm(x[0, 0])), (T,)),
    ],
)
def test_values_equal_numpy(f: Any, args: Any) -> None:
    assert_same(f, *args)


def test_gaussian_log_likelihood_by_cholesky_has_its_gradient() -> None:
    y = numbers(4)

    def likelihood(s: Any) -> Any:
        half = np.linalg.solve(np.linalg.cholesky(s), y)
        return half @ half + 2 * np.sum(np.log(np.diagonal(np.linalg.cholesky(s))))

    got = answer(lambda s: cr.grad(likelihood)(s), S)
    inverse = np.linalg.inv(S)
    np.testing.assert_allclose(got, inverse - np.outer(inverse @ y, inverse @ y), rtol=1e-9)


@pytest.mark.parametrize(
    "f",
    [
        lambda a: np.sum(np.linalg.inv(a) ** 2),
        lambda a: np.linalg.det(a[:2, :2]) * np.linalg.det(a[:3, :3]),
        lambda a: np.sum(np.linalg.matrix_power(a, 3)),
    ],
)
def test_gradients_equal_the_complex_step(f: Any) -> None:
    d = numbers(4, 4, seed="d")
    got = answer(lambda a: cr.grad(f)(a), A)
    assert np.sum(got * d) == pytest.approx(f(A + 1e-30j * d).imag / 1e-30, rel=1e-9)


def test_the_gradient_of_a_pseudo_inverse() -> None:
    def by_hand(a: Any) -> Any:
        return np.sum((np.linalg.inv(a.T @ a) @ a.T) ** 3)

    a, d = A[:, :2], numbers(4, 2, seed="d")
    got = answer(lambda a: cr.grad(lambda a: np.sum(np.linalg.pinv(a) ** 3))(a), a)
    assert np.sum(got * d) == pytest.approx(by_hand(a + 1e-30j * d).imag / 1e-30, rel=1e-9)


def test_a_small_determinant_is_differentiable_where_it_is_zero() -> None:
    a = np.array([[1.0, 2.0], [2.0, 4.0]])
    got = answer(lambda a: cr.grad(np.linalg.det)(a), a)
    np.testing.assert_allclose(got, [[4.0, -2.0], [-2.0, 1.0]])


@pytest.mark.parametrize(
    ("f", "text"),
    [
        (lambda a: np.linalg.svd(a[:, :2]), "full_matrices=False"),
        (lambda a: np.linalg.qr(a, "complete"), "reduced"),
        (lambda a: np.linalg.pinv(a, 1e-3), "leave it out"),
        (np.linalg.eig, "eigh"),
        (np.linalg.matrix_rank, "depends on the numbers"),
        (lambda a: np.linalg.inv(a[0]), "no matrix"),
        (lambda a: np.linalg.inv(a[:2]), "square"),
    ],
)
def test_what_has_no_graph_is_refused_with_its_cure(f: Any, text: str) -> None:
    assert text in str(refusal(f, A))
