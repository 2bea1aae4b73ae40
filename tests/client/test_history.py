"""The record of a fit and its picture."""

from pathlib import Path

import numpy as np
import pytest

from chainrule.errors import Unsupported
from chainrule.history import Epoch, History


def history_of(losses: list[float]) -> History:
    history = History()
    for k, loss in enumerate(losses):
        history.steps.append(k + 1)
        history.losses.append(loss)
        history.grad_norms.append(1.0)
    return history


def test_the_running_mean_is_as_long_as_the_losses_and_starts_with_them() -> None:
    smooth = history_of([4.0, 2.0, 1.0]).smoothed(window=2)
    np.testing.assert_allclose(smooth, [4.0, 3.0, 1.5])


def test_a_history_reads_as_a_sentence() -> None:
    history = history_of([2.0, 1.0])
    history.epochs.append(Epoch(1, 2, 1.5, {"loss": 1.25, "accuracy": 0.5}, 0.1))
    assert repr(history) == (
        "History(1 epoch, 2 steps, loss 2 -> 1; validation loss 1.25, accuracy 0.5)"
    )


def test_the_plot_is_a_picture_with_both_curves(tmp_path: Path) -> None:
    history = history_of([2.0, 1.0, 0.5, 0.25])
    history.epochs += [Epoch(1, 2, 1.5, {"loss": 1.1}, 0.1), Epoch(2, 4, 0.4, {"loss": 0.6}, 0.1)]
    figure = history.plot(tmp_path / "curve.png")
    axes = figure.axes[0]
    assert axes.get_legend_handles_labels()[1] == ["training", "validation"]
    validation = axes.lines[-1]
    np.testing.assert_array_equal(validation.get_xdata(), [2, 4])
    np.testing.assert_array_equal(validation.get_ydata(), [1.1, 0.6])
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_to_draw_says_so() -> None:
    with pytest.raises(Unsupported, match="fit first"):
        History().plot()
