"""Copies in bands are copies."""

import numpy as np
import pytest

from chainrule_server.engine.ops.copying import copier
from support.op_checks import LAYOUTS, laid_out


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(), (0, 4), (3, 5), (300, 301), (2, 300, 301), (70_000, 1)])
def test_every_element_arrives(shape: tuple[int, ...], layout: str) -> None:
    x = laid_out(np.random.default_rng(1).standard_normal(shape), layout)
    out = np.full(shape, np.nan)
    run = copier(x, out)
    for _ in range(2):
        run()
        np.testing.assert_array_equal(out, x)
        out.fill(np.nan)
