"""What a signature promises: its rule works in Python integers and allocates nothing."""

import tracemalloc

import pytest

from chainrule.ir.primitives import PRIMITIVES
from support.written import f8


@pytest.mark.parametrize(
    ("op", "attrs"),
    [
        ("Expand", {"shape": (10**6, 10**6)}),
        ("Pad", {"low": (10**6,) * 2, "high": (0, 0), "interior": (0, 0)}),
        ("Reshape", {"shape": (1,) * 8}),
    ],
)
def test_a_rule_allocates_nothing_that_grows_with_the_shape(
    op: str, attrs: dict[str, object]
) -> None:
    signature = PRIMITIVES[op]
    tracemalloc.start()
    try:
        signature.infer((f8(1, 1),), dict(attrs))  # type: ignore[arg-type]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000
