"""Problems whose answer is a derivative of a derivative, written once for chainrule and for JAX.

Each takes `n`, NumPy or jax.numpy, and `t`, the transforms: grad, jvp, hessian, vmap, fixed_point.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

Problem = Callable[[Any, Any], Callable[..., Any]]


def arrays(*shape: int, seed: int = 0, scale: float = 1.0) -> Any:
    """Normal numbers, the same for the same shape and seed."""
    return np.random.default_rng((*shape, seed)).normal(size=shape) * scale


def maml(n: Any, t: Any) -> Callable[..., Any]:
    """The loss of several tasks after two inner gradient steps on each; its gradient is a meta-gradient.

    Source: Finn, Abbeel, Levine 2017, arXiv:1703.03400, equation 1, with two steps.
    """

    def loss(w: Any, x: Any, y: Any) -> Any:
        return n.mean((n.tanh(x @ w["a"]) @ w["b"] - y) ** 2)

    def after(w: Any, x: Any, y: Any, xt: Any, yt: Any) -> Any:
        for _ in range(2):
            g = t.grad(loss)(w, x, y)
            w = {name: w[name] - 0.1 * g[name] for name in w}
        return loss(w, xt, yt)

    def meta(w: Any, x: Any, y: Any, xt: Any, yt: Any) -> Any:
        return n.mean(t.vmap(after, in_axes=(None, 0, 0, 0, 0))(w, x, y, xt, yt))

    return meta


MAML = (
    {"a": arrays(3, 5), "b": arrays(5)},
    arrays(4, 6, 3),
    arrays(4, 6),
    arrays(4, 6, 3, seed=1),
    arrays(4, 6, seed=1),
)


def deq(n: Any, t: Any) -> Callable[..., Any]:
    """A loss of the equilibrium z = tanh(W z + U x + b) of a batch. Source: Bai et al. 2019, 1909.01377."""

    def loss(p: Any, x: Any, y: Any) -> Any:
        z = t.fixed_point(lambda z: n.tanh(z @ p["w"] + x @ p["u"] + p["b"]), n.zeros((5, 4)))
        return n.mean((z @ p["out"] - y) ** 2)

    return loss


DEQ = (
    {"w": arrays(4, 4, scale=0.2), "u": arrays(3, 4), "b": arrays(4), "out": arrays(4)},
    arrays(5, 3),
    arrays(5),
)


def energy(n: Any) -> Callable[..., Any]:
    """A scalar with every mixed derivative."""
    return lambda x, w: n.sum(n.sin(w @ x) * n.exp(-(x[:2] ** 2))) + n.prod(n.cos(x))


def hvp(n: Any, t: Any) -> Callable[..., Any]:
    """Hessian times vector, summed with weights that make it a scalar."""
    f = energy(n)
    return lambda x, w, v: n.sum(t.jvp(t.grad(lambda x: f(x, w)), (x,), (v,))[1] * n.cos(v))


HVP = (arrays(3), arrays(2, 3), arrays(3, seed=2))


def third(n: Any, t: Any) -> Callable[..., Any]:
    """The gradient of a Hessian's trace: every entry is a third derivative."""
    f = energy(n)
    return lambda x, w: n.trace(t.hessian(lambda x: f(x, w))(x))


THIRD = HVP[:2]


def hypergradient(n: Any, t: Any) -> Callable[..., Any]:
    """The validation loss of ridge regression at its optimum, as a function of the penalties."""

    def inner(w: Any, penalty: Any, x: Any, y: Any) -> Any:
        return n.mean((x @ w - y) ** 2) + n.sum(n.exp(penalty) * w**2)

    def outer(penalty: Any, x: Any, y: Any, xv: Any, yv: Any) -> Any:
        g = t.grad(inner)
        w = t.fixed_point(lambda w: w - 0.1 * g(w, penalty, x, y), n.zeros(3))
        return n.mean((xv @ w - yv) ** 2)

    return outer


HYPERGRADIENT = (
    np.array([-1.0, -0.5, -2.0]),
    arrays(12, 3, scale=0.8),
    arrays(12),
    arrays(6, 3),
    arrays(6),
)


def pinn(n: Any, t: Any) -> Callable[..., Any]:
    """The residual of Poisson's equation, Laplacian u = f, of a network at many points.

    Source: Raissi, Perdikaris, Karniadakis 2019, J. Comput. Phys. 378, section 2.
    """

    def u(p: Any, x: Any) -> Any:
        return n.tanh(x @ p["w"] + p["b"]) @ p["v"]

    def residual(p: Any, x: Any) -> Any:
        laplacian = n.trace(t.hessian(lambda x: u(p, x))(x))
        return laplacian - n.sin(x[0]) * x[1]

    return lambda p, xs: n.mean(t.vmap(lambda x: residual(p, x))(xs) ** 2)


PINN = ({"w": arrays(2, 6), "b": arrays(6), "v": arrays(6)}, arrays(9, 2))

PROBLEMS: dict[str, tuple[Problem, tuple[Any, ...]]] = {
    "maml": (maml, MAML),
    "deq": (deq, DEQ),
    "hvp": (hvp, HVP),
    "third": (third, THIRD),
    "hypergradient": (hypergradient, HYPERGRADIENT),
    "pinn": (pinn, PINN),
}
