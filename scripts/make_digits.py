"""Makes the demo's data files from scikit-learn's copy of the digits; run it to check them.

    python -m pip install scikit-learn && python scripts/make_digits.py

`digits.npz` holds the 1,797 images and labels as they are; `split.json` the rows of the test set:
a fifth of every class, drawn once by the fixed seed below and never looked at while choosing
sizes and learning rates. Run again, both files come out with the same bytes.
"""

import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

DATA = Path(__file__).resolve().parent.parent / "server" / "chainrule_server" / "demo" / "data"
SEED = 20_240_229
TEST_FRACTION = 0.2


def write_npz(path, **arrays):
    """An .npz without time stamps, so that its bytes depend on the arrays only."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, version=(1, 0), allow_pickle=False)
            archive.writestr(
                zipfile.ZipInfo(f"{name}.npy"), buffer.getvalue(), zipfile.ZIP_DEFLATED
            )


def stratified_test_rows(labels):
    """A fifth of the rows of every class, ascending."""
    rng = np.random.Generator(np.random.Philox(SEED))
    rows = []
    for digit in range(10):
        of_class = np.flatnonzero(labels == digit)
        rows += rng.permutation(of_class)[: round(TEST_FRACTION * len(of_class))].tolist()
    return sorted(rows)


def main():
    """Writes both files."""
    images, labels = load_digits(return_X_y=True)
    labels = labels.astype(np.uint8)
    write_npz(DATA / "digits.npz", images=images.astype(np.uint8).reshape(-1, 8, 8), labels=labels)
    split = {"seed": SEED, "test_fraction": TEST_FRACTION, "test": stratified_test_rows(labels)}
    (DATA / "split.json").write_text(json.dumps(split) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
