"""The data of the demo."""

import json
from importlib.resources import files

import numpy as np

from chainrule_server.demo.digits import load_digits


def test_the_digits_are_whole_and_the_split_is_stratified() -> None:
    digits = load_digits()
    assert digits.x_train.shape == (1438, 64)
    assert digits.x_test.shape == (359, 64)
    assert digits.x_train.min() == 0.0
    assert digits.x_train.max() == 1.0
    train, test = np.bincount(digits.y_train), np.bincount(digits.y_test)
    assert len(train) == len(test) == 10
    np.testing.assert_array_equal(test, np.round(0.2 * (train + test)))


def test_source_and_licence_ship_with_the_data() -> None:
    folder = files("chainrule_server.demo") / "data"
    text = (folder / "SOURCE.md").read_text()
    for word in ("Alpaydin", "CC BY 4.0", "BSD-3-Clause", "10.24432/C50P49"):
        assert word in text
    rows = json.loads((folder / "split.json").read_text())["test"]
    assert rows == sorted(set(rows))
