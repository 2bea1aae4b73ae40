"""Anderson acceleration of x = f(x): the next iterate mixes the last few so that their residuals cancel.

With residuals r_k = f(x_k) - x_k and their differences dR, dF of the last HISTORY steps,
    gamma = argmin |r_k - dR gamma|,      x_(k+1) = f(x_k) - dF gamma

Source: Walker and Ni, Anderson acceleration for fixed-point iterations, SIAM J. Numer. Anal. 49 (2011).
"""

from collections.abc import Sequence

import numpy as np

from chainrule_server.engine.loops.cost import HISTORY
from chainrule_server.engine.ops.table import Array

# Keeps the small least-squares problem solvable when differences are nearly parallel.
_RIDGE = 1e-12


class Anderson:
    """The iteration of one bound body.

    Args:
        state: the body's inputs, which are overwritten by the next iterate.
        image: the body's outputs, f(state).
        per_example: every row of the leading axis is an iteration of its own, mixed with itself alone and
            frozen once it has converged.
    """

    def __init__(self, state: Sequence[Array], image: Sequence[Array], per_example: bool) -> None:
        self._state = tuple(state)
        self._image = tuple(image)
        self._rows = state[0].shape[0] if per_example and state[0].ndim else 1
        self._size = sum(s.size for s in state) // max(self._rows, 1)
        self.reset()

    def reset(self) -> None:
        """Forget the last run."""
        self._residuals: list[Array] = []
        self._images: list[Array] = []
        self._frozen = np.zeros(self._rows, bool)
        self._last: Array = np.full(self._rows, np.inf)

    def step(self, tol: float) -> float:
        """Take the image in, write the next iterate into the state; gives the largest residual.

        A residual is the largest |f(x) - x|, relative to the largest |f(x)| where that is above one.
        """
        x, fx = self._flat(self._state), self._flat(self._image)
        if not x.size:
            return 0.0
        r = fx - x
        scale = np.maximum(np.abs(fx).max(axis=1), 1.0)
        error = np.where(self._frozen, self._last, np.abs(r).max(axis=1) / scale)
        self._last = error
        following = self._mixed(r, fx)
        converged = error <= tol
        # The last image of a row that has converged is its answer; later steps of others don't move it.
        following[converged] = fx[converged]
        following[self._frozen] = x[self._frozen]
        self._frozen |= converged
        self._write(following)
        return float(error.max())

    def _mixed(self, r: Array, fx: Array) -> Array:
        """The next iterate from this step and the remembered ones."""
        self._residuals.append(r)
        self._images.append(fx)
        del self._residuals[: -HISTORY - 1], self._images[: -HISTORY - 1]
        if len(self._residuals) == 1:
            return fx.copy()
        d_r = np.diff(np.stack(self._residuals), axis=0)  # (steps, rows, size)
        d_f = np.diff(np.stack(self._images), axis=0)
        gram = np.einsum("irs,jrs->rij", d_r, d_r)
        right = np.einsum("irs,rs->ri", d_r, r)
        trace = np.trace(gram, axis1=1, axis2=2)[:, None, None]
        gram = gram + (_RIDGE * trace + np.finfo(np.float64).tiny) * np.eye(gram.shape[1])
        gamma = np.linalg.solve(gram, right[..., None])[..., 0]
        mixed: Array = fx - np.einsum("ri,irs->rs", gamma, d_f)
        # A mix that left the numbers is worse than the plain step.
        bad = ~np.isfinite(mixed).all(axis=1)
        mixed[bad] = fx[bad]
        return mixed

    def _flat(self, values: Sequence[Array]) -> Array:
        """All values as float64 rows."""
        rows = self._rows
        parts = [np.asarray(v, np.float64).reshape(rows, -1) for v in values]
        return np.concatenate(parts, axis=1)

    def _write(self, following: Array) -> None:
        at = 0
        for value in self._state:
            width = value.size // max(self._rows, 1)
            value[...] = following[:, at : at + width].reshape(value.shape)
            at += width
