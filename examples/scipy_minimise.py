"""SciPy's optimisers on functions that the service differentiates; nothing in between.

python -m pip install "chainrule[server]" && python examples/scipy_minimise.py
"""

import numpy as np
from scipy import optimize

import chainrule as cr


def rosenbrock(x):
    """The banana valley; its minimum is at (1, ..., 1)."""
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def main():
    """Minimises by gradients, then by Hessian-vector products."""
    start = np.zeros(10)
    with cr.connect() as client:
        g = client.bind(rosenbrock)
        found = optimize.minimize(g.value_and_grad, start, jac=True, method="L-BFGS-B")
        print(f"L-BFGS-B   {found.nit:3d} iterations, largest error {abs(found.x - 1).max():.1e}")
        found = optimize.minimize(g.value, start, jac=g.grad, hessp=g.hvp, method="trust-ncg")
        print(f"trust-ncg  {found.nit:3d} iterations, largest error {abs(found.x - 1).max():.1e}")


if __name__ == "__main__":
    main()
