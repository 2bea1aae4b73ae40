"""The learning curves as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from chainrule.lazy import load
from chainrule_server.demo.training import Run

_COLORS = ("#0072B2", "#D55E00")


def draw(runs: Mapping[str, Sequence[Run]], path: Path) -> None:
    """One panel a loss: every seed thin, the mean of the seeds thick.

    Raises:
        Unsupported: matplotlib is not installed.
    """
    figures = load("matplotlib.figure", 'pip install "chainrule[demo]"')
    figure = figures.Figure(figsize=(9.0, 3.8), layout="constrained")
    panels = figure.subplots(1, len(runs), squeeze=False)[0]
    for axes, color, (title, of_title) in zip(panels, _COLORS, runs.items(), strict=False):
        curves = np.array([run.history.smoothed() for run in of_title])
        steps = of_title[0].history.steps
        axes.plot(steps, curves.T, color=color, alpha=0.3, linewidth=0.8)
        axes.plot(steps, curves.mean(axis=0), color=color, linewidth=2.0)
        mean = 100 * float(np.mean([run.accuracy for run in of_title]))
        axes.set_title(f"{title}: {mean:.1f} % on the test set", loc="left", fontsize=11)
        axes.set_yscale("log")
        axes.set_xlabel("step")
        axes.set_ylabel("training loss")
        axes.grid(True, which="major", alpha=0.25, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    n = len(next(iter(runs.values())))
    figure.suptitle(
        f"64-128-10 sigmoid network on handwritten digits, trained remotely, {n} seeds",
        fontsize=12,
    )
    figure.savefig(path, dpi=150)
