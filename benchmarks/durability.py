"""What an acknowledged step costs by what it survives: memory, process, disk.

    python benchmarks/durability.py [--steps 60] [--hidden 128] [--batch 1024]

Sessions of each kind take their steps in turn on one private server with two workers, so that whatever else
the machine does meets all of them alike. Reports medians and quartiles, the ratio to `memory`, and what the
disk of the data folder writes and syncs. About 10 s; with --hidden 12600 the network has 10 M parameters.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from run import loss, quartiles

import chainrule as cr

KINDS = ("memory", "process", "disk")


def network(rng: np.random.Generator, hidden: int) -> dict[str, np.ndarray]:
    """784 -> hidden -> 10, float32."""
    shapes = {"W1": (784, hidden), "b1": (hidden,), "W2": (hidden, 10), "b2": (10,)}
    return {k: (rng.normal(size=s) * 0.05).astype(np.float32) for k, s in shapes.items()}


def written_mb_s(folder: Path, nbytes: int = 64 << 20) -> float:
    """MB/s of one write and fdatasync in the folder of the data."""
    path, data = folder / "written", os.urandom(1 << 20)
    fd = os.open(path, os.O_CREAT | os.O_RDWR)
    begin = time.perf_counter()
    for k in range(nbytes >> 20):
        os.pwrite(fd, data, k << 20)
    os.fdatasync(fd)
    seconds = time.perf_counter() - begin
    os.close(fd)
    path.unlink()
    return nbytes / 1e6 / seconds


def main() -> None:
    """Prints a line a kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    params = network(rng, options.hidden)
    x = rng.normal(size=(options.batch, 784)).astype(np.float32)
    y = rng.normal(size=(options.batch, 10)).astype(np.float32)
    n = sum(a.size for a in params.values())
    with tempfile.TemporaryDirectory() as folder:
        print(f"{n:,} parameters, batch {options.batch}, {options.workers} workers, adam")
        print(f"the disk of the data folder: {written_mb_s(Path(folder)):.0f} MB/s, synced")
        with cr.connect("local", workers=options.workers, data_dir=folder) as client:
            sessions = {
                kind: client.create_session(
                    loss, params, optimizer=cr.optim.adam(1e-3), durability=kind
                )
                for kind in KINDS
            }
            seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
            for k in range(options.steps + 3):
                # Each kind comes first equally often.
                for kind in KINDS[k % 3 :] + KINDS[: k % 3]:
                    begin = time.perf_counter()
                    sessions[kind].step(x, y)
                    if k >= 3:
                        seconds[kind].append(time.perf_counter() - begin)
    base = np.median(seconds["memory"])
    for kind in KINDS:
        ratio = np.median(seconds[kind]) / base - 1
        print(f"step, {kind:<10}{quartiles(seconds[kind])}   {100 * ratio:+.1f} % of memory's")


if __name__ == "__main__":
    main()
