"""Products of matrices and tensors, traced, equal NumPy's."""

from typing import Any

import numpy as np
import pytest

from support.traced import assert_same, numbers, refusal, rows

A = numbers(3, 4)
B = numbers(4, 5)
S = numbers(4, 4)
V = numbers(4)
T = numbers(2, 3, 4)
U = numbers(2, 4, 5)
I = np.arange(12).reshape(3, 4)  # noqa: E741 - an integer matrix


@rows(
    ("matmul", lambda a, b: a @ b, (A, B)),
    ("matmul captured", lambda a: a @ B, (A,)),
    ("matmul from the left", lambda b: A @ b, (B,)),
    ("vector right", lambda a, v: a @ v, (A, V)),
    ("vector left", lambda v, b: v @ b, (V, B)),
    ("vectors", lambda v: v @ v, (V,)),
    ("batched", lambda t, u: t @ u, (T, U)),
    ("batched against matrix", lambda t, b: np.matmul(t, b), (T, B)),
    ("batched vector", lambda t, v: (t @ v, v @ t.swapaxes(-1, -2)), (T, V)),
    ("integers", lambda i: i @ i.T, (I,)),
    ("dot", lambda a, b, v: (np.dot(a, b), a.dot(v), np.dot(v, v), np.dot(2.0, a)), (A, B, V)),
    ("dot of stacks", lambda t, u: np.dot(t, u), (T, U)),
    ("captured dot", lambda b: np.dot(A, b), (B,)),
    ("inner", lambda a, t: np.inner(a, t), (A, T)),
    ("outer", lambda v, a: np.outer(v, a), (V, A)),
    ("outer ufunc", lambda v, a: (np.multiply.outer(v, a), np.add.outer(a, v)), (V, A)),
    ("vdot", lambda a: np.vdot(a, 2 * a), (A,)),
    ("tensordot", lambda t, b: (np.tensordot(t, b, 1), np.tensordot(t, b, ([2], [0]))), (T, B)),
    ("tensordot two", lambda t, a: np.tensordot(t, a, ((1, 2), (0, 1))), (T, A)),
    ("kron", lambda a, b: np.kron(a, b), (A, B)),
    ("trace", lambda s: (np.trace(s), s.trace(1)), (S,)),
    ("diagonal", lambda t: (np.diagonal(t, 0, 1, 2), np.diagonal(t, 1, 0, 1)), (T,)),
    ("diagonals", lambda t: tuple(np.diagonal(t, k, 2, 0) for k in (-3, -1, 1)), (T,)),
    ("diag", lambda s, v: (np.diag(s), np.diag(v), np.diag(v, 1), np.diag(v, -2)), (S, V)),
    ("multi_dot", lambda a, b, v: np.linalg.multi_dot([v, a.T, a, b]), (A, B, numbers(4, 4))),
    ("cross", np.cross, (numbers(5, 3), numbers(5, 3, seed="b"))),
    ("tril triu", lambda s: (np.tril(s), np.triu(s, 1), np.tril(s, -1)), (S,)),
    ("like", lambda a: (np.zeros_like(a), np.ones_like(a), np.full_like(a, 3.0)), (A,)),
    ("copy astype", lambda i: (np.copy(i), i.copy(), i.astype(np.float32)), (I,)),
    ("shape", lambda a: np.full(np.shape(a), np.ndim(a) + np.size(a, 0) + 0.5) * a, (A,)),
)
def test_traced_equals_numpy(f: Any, args: Any) -> None:
    assert_same(f, *args)


def test_mismatched_axes_are_refused() -> None:
    assert "inner axes 4 and 3 differ" in str(refusal(lambda a: a @ A, A))
    assert "differ in length" in str(refusal(lambda a: np.tensordot(a, A, 1), A))
    assert "use * with scalars" in str(refusal(lambda a: a @ 2.0, A))


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("ij,jk->ik", ((3, 4), (4, 5))),
        ("ij,jk", ((3, 4), (4, 5))),
        ("ij,kj->ki", ((3, 4), (5, 4))),
        ("bij,bjk->bik", ((2, 3, 4), (2, 4, 5))),
        ("bij,jk->bki", ((2, 3, 4), (4, 5))),
        ("i,j->ij", ((3,), (4,))),
        ("i,i->", ((3,), (3,))),
        ("i,i->i", ((3,), (3,))),
        ("ii->", ((3, 3),)),
        ("ii->i", ((3, 3),)),
        ("ij->ji", ((3, 4),)),
        ("ij->", ((3, 4),)),
        ("ijk->j", ((2, 3, 4),)),
        ("bhqd,bhkd->bhqk", ((2, 3, 4, 5), (2, 3, 6, 5))),
        ("bqhd,bkhd->bhqk", ((2, 4, 3, 5), (2, 6, 3, 5))),
        ("...ij,...jk->...ik", ((2, 3, 4), (2, 4, 5))),
        ("...i,i->...", ((2, 3, 4), (4,))),
        ("ij,jk,kl->il", ((3, 4), (4, 5), (5, 2))),
        ("ij,ij,ij->i", ((3, 4), (3, 4), (3, 4))),
        ("ab,cd->", ((2, 3), (4, 5))),
        ("ij,jk->k", ((3, 4), (4, 5))),
        ("ij,ik->ijk", ((3, 4), (3, 5))),
        ("ia,jb,ab->ij", ((3, 2), (4, 5), (2, 5))),
    ],
)
def test_einsum_equals_numpy(subscripts: str, shapes: Any) -> None:
    operands = [numbers(*shape, seed=str(i)) for i, shape in enumerate(shapes)]
    assert_same(lambda *xs: np.einsum(subscripts, *xs), *operands)


@pytest.mark.parametrize(
    ("subscripts", "cure"), [("ij,jk", "for each"), ("i", "letter an axis"), ([0, 1], "ij,jk->ik")]
)
def test_einsum_refuses_what_it_cannot_read(subscripts: Any, cure: str) -> None:
    assert cure in str(refusal(lambda a: np.einsum(subscripts, a), A))
