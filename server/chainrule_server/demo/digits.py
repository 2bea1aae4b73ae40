"""The handwritten digits that come with the package; `data/SOURCE.md` names source and licence."""

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

CLASSES = 10
PIXELS = 64
_BRIGHTEST = 16.0


@dataclass(frozen=True, slots=True, eq=False)
class Digits:
    """Images as rows of 64 pixels from 0 to 1, and their labels.

    Attributes:
        x_train, y_train: 1,438 examples.
        x_test, y_test: 359 examples, a fifth of every class, to be looked at once.
    """

    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array


def load_digits() -> Digits:
    """The digits, split as `data/split.json` says."""
    folder = files("chainrule_server.demo") / "data"
    with (folder / "digits.npz").open("rb") as file, np.load(file, allow_pickle=False) as archive:
        images, labels = archive["images"], archive["labels"]
    x = images.reshape(-1, PIXELS) / _BRIGHTEST
    y = labels.astype(np.int64)
    is_test = np.zeros(len(y), bool)
    is_test[json.loads((folder / "split.json").read_text())["test"]] = True
    return Digits(x[~is_test], y[~is_test], x[is_test], y[is_test])
