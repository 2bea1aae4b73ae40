"""The example network's gradient by the service, and the chain rule of a composition.

python examples/gradient.py            a private server
CHAINRULE_ADDRESS=localhost:50051 python examples/gradient.py
"""

import numpy as np

import chainrule as cr


def loss(params, x, y):
    """z = W1 x + b1, a = sigma(z), y_hat = W2 a + b2, L = 1/2 (y_hat - y)^2; the mean over the batch."""
    a = cr.nn.sigmoid(x @ params["W1"] + params["b1"])
    y_hat = a @ params["W2"] + params["b2"]
    return 0.5 * np.mean(np.sum((y_hat - y) ** 2, axis=-1))


def main():
    """Asks for a gradient, what it would cost, and how it comes about."""
    rng = np.random.default_rng(0)
    params = {
        "W1": rng.normal(size=(3, 8)),
        "b1": np.zeros(8),
        "W2": rng.normal(size=(8, 1)),
        "b2": np.zeros(1),
    }
    x, y = rng.normal(size=(1000, 3)), rng.normal(size=(1000, 1))
    with cr.connect() as client:
        value, gradient = client.value_and_grad(loss, params, x, y, batch=(1, 2))
        print(f"loss {value:.6f}")
        for name, g in gradient.items():
            print(f"  dL/d{name:<3} {g.shape!s:<8} norm {np.linalg.norm(g):.6f}")
        print(client.estimate(loss, params, x, y))
        print(client.explain(lambda x: np.sin((2 * x + 1) ** 2), 0.5))


if __name__ == "__main__":
    main()
