"""`make bench`: what importing, connecting, one gradient, one training step and many gradients cost here.

Reports medians and quartiles, never judges: a limit on wall time would fail on a busy machine. What
must hold (work counted, no grpc loaded) is asserted by the tests.
"""

import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

import chainrule as cr

IMPORTS = ("numpy", "chainrule", "chainrule.ir", "chainrule.client")


def quartiles(seconds: list[float]) -> str:
    """Median and the range of the middle half, in milliseconds."""
    low, middle, high = (1e3 * q for q in statistics.quantiles(seconds, n=4))
    return f"{middle:9.2f} ms   ({low:.2f} to {high:.2f})"


def timed(action: Callable[[], object], n: int) -> list[float]:
    """Seconds of n calls, after one that is not counted."""
    action()
    seconds = []
    for _ in range(n):
        begin = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - begin)
    return seconds


def import_time(name: str) -> list[float]:
    """Seconds a fresh interpreter needs to start and import one module."""
    command = [sys.executable, "-c", f"import {name}"]
    return timed(lambda: subprocess.run(command, check=True), 9)


def loss(params, x, y):
    """The article's network: 0.5 * mean of squares of W2 sigmoid(W1 x + b1) + b2 - y."""
    a = cr.nn.sigmoid(x @ params["W1"] + params["b1"])
    return 0.5 * np.mean(np.sum((a @ params["W2"] + params["b2"] - y) ** 2, axis=-1))


def network(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """784 -> 128 -> 10, float32."""
    shapes = {"W1": (784, 128), "b1": (128,), "W2": (128, 10), "b2": (10,)}
    return {k: (rng.normal(size=s) * 0.05).astype(np.float32) for k, s in shapes.items()}


def many_derivatives(client: cr.Client, rng: np.random.Generator) -> None:
    """Gradients an example in one request, against a loop of requests over the compiled gradient."""
    shapes = {"W1": (8, 16), "b1": (16,), "W2": (16, 4), "b2": (4,)}
    params, n = {k: rng.normal(size=s) for k, s in shapes.items()}, 256
    x, y = rng.normal(size=(n, 8)), rng.normal(size=(n, 4))
    bound = client.bind(loss)

    def loop() -> None:
        for i in range(n):
            bound.grad(params, x[i : i + 1], y[i : i + 1])

    together = timed(lambda: client.per_example_grad(loss, params, x, y, batch=(1, 2)), 9)
    apart = timed(loop, 3)
    print(f"{'256 gradients an example':<35}{quartiles(together)}")
    ratio = statistics.median(apart) / statistics.median(together)
    print(f"{'  the loop over bound calls':<35}{quartiles(apart)}   {ratio:.0f} times")


def main() -> None:
    """Prints one line a measurement."""
    print(f"{platform.platform()}   Python {platform.python_version()}   NumPy {np.__version__}")
    for name in IMPORTS:
        print(f"import {name:<28}{quartiles(import_time(name))}")

    begin = time.perf_counter()
    with cr.connect("local") as client:
        client.info()
        print(f"{'private server, first answer':<35}{1e3 * (time.perf_counter() - begin):9.2f} ms")

        x = np.linspace(0.0, 1.0, 8)
        scalar = cr.trace(lambda x: np.sum(np.sin((2 * x + 1) ** 2)), x)
        print(
            f"{'gradient, traced before':<35}{quartiles(timed(lambda: client.grad(scalar, x), 50))}"
        )

        rng = np.random.default_rng(0)
        params, n = network(rng), 512
        x = rng.normal(size=(n, 784)).astype(np.float32)
        y = rng.normal(size=(n, 10)).astype(np.float32)
        session = client.create_session(loss, params, optimizer=cr.optim.adam(1e-3))
        print(
            f"{'step, 784-128-10, batch 512':<35}{quartiles(timed(lambda: session.step(x, y), 30))}"
        )
        many_derivatives(client, rng)


if __name__ == "__main__":
    main()
