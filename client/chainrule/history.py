"""What a fit has seen, and its learning curve."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.errors import Retry, Unsupported
from chainrule.lazy import load

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, np.dtype[Any]]

# Blue and vermilion of Okabe and Ito: told apart in every common colour vision.
_TRAINING, _VALIDATION = "#0072B2", "#D55E00"


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the data.

    Attributes:
        epoch: from 1.
        step: optimizer updates at its end.
        loss: mean over the epoch's steps, weighted by their examples.
        validation: the outputs of the loss on the validation data by name, `loss` first; empty without.
        seconds: on the client's clock.
    """

    epoch: int
    step: int
    loss: float
    validation: Mapping[str, float]
    seconds: float


@dataclass(slots=True)
class History:
    """Losses of a fit, oldest first.

    Attributes:
        steps: numbers of the optimizer updates.
        losses: the loss before each of them.
        grad_norms: the gradient's Euclidean norm at each of them.
        epochs: one entry a finished epoch.
    """

    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    grad_norms: list[float] = field(default_factory=list)
    epochs: list[Epoch] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        if not self.steps:
            return "History(no step yet)"
        text = f"{len(self.steps)} steps, loss {self.losses[0]:.4g} -> {self.losses[-1]:.4g}"
        if self.epochs and self.epochs[-1].validation:
            shown = (f"{k} {v:.4g}" for k, v in self.epochs[-1].validation.items())
            text += "; validation " + ", ".join(shown)
        epochs = f"{len(self.epochs)} epoch" + ("" if len(self.epochs) == 1 else "s")
        return f"History({epochs}, {text})"

    def smoothed(self, window: int | None = None) -> Array:
        """A running mean of the losses, as long as they are; the default window is a thirtieth."""
        losses = np.asarray(self.losses, np.float64)
        width = max(1, len(losses) // 30) if window is None else window
        sums = np.cumsum(np.concatenate([[0.0], losses]))
        high = np.arange(1, len(losses) + 1)
        low = np.maximum(high - width, 0)
        smooth: Array = (sums[high] - sums[low]) / (high - low)
        return smooth

    def plot(self, path: str | Path | None = None, *, title: str = "") -> "Figure":
        """The learning curve: every step's loss, their running mean, and the validation loss.

        Args:
            path: where to save the picture; its ending gives the format.
            title: above the picture.

        Raises:
            Unsupported: matplotlib is not installed, or there is nothing to draw yet.
        """
        if not self.steps:
            raise Unsupported("there is no step to draw yet", cure="fit first", retry=Retry.FIX)
        figures = load("matplotlib.figure", 'pip install "chainrule[plot]"')
        figure = figures.Figure(figsize=(7.0, 4.2), layout="constrained")
        axes = figure.subplots()
        axes.plot(self.steps, self.losses, color=_TRAINING, alpha=0.25, linewidth=0.8)
        axes.plot(self.steps, self.smoothed(), color=_TRAINING, linewidth=1.8, label="training")
        self._plot_validation(axes)
        axes.set_xlabel("step")
        axes.set_ylabel("loss")
        if min(self.losses) > 0:
            axes.set_yscale("log")
        axes.grid(True, which="major", alpha=0.25, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        axes.set_title(title or f"loss over {len(self.steps)} steps", loc="left")
        if path is not None:
            figure.savefig(path, dpi=150)
        return figure  # type: ignore[no-any-return]  # matplotlib is loaded by name

    def _plot_validation(self, axes: Any) -> None:
        measured = [e for e in self.epochs if "loss" in e.validation]
        if not measured:
            return
        points = [e.step for e in measured]
        losses = [e.validation["loss"] for e in measured]
        axes.plot(points, losses, "o-", color=_VALIDATION, markersize=3, label="validation")
