"""Names that may cross the wire, and the nearest known one."""

import pytest

from chainrule.errors import ErrorCode, InvalidGraph
from chainrule.ir.names import check_name, closest
from chainrule.ir.primitives import PRIMITIVES


@pytest.mark.parametrize(
    "name", ["params/enc/w", "args/0", "batch/(0)/[12]", "$key", "a%20b", "x" * 256]
)
def test_valid_names(name: str) -> None:
    assert check_name(name, "input") == name


@pytest.mark.parametrize(
    "name", ["", "a b", "é", "x" * 257, "a\n", "a\0", "..\\x", "a=b", "\ud800", "a;rm"]
)
def test_invalid_names(name: str) -> None:
    with pytest.raises(InvalidGraph, match="is no valid name; use 1 to 256 of") as caught:
        check_name(name, "input")
    assert caught.value.code is ErrorCode.BAD_NAME
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("exp", "Exp"), ("Matmul", "MatMul"), ("ReduceSums", "ReduceSum"), ("zzz", None)],
)
def test_the_nearest_known_name(wrong: str, right: str | None) -> None:
    assert closest(wrong, PRIMITIVES) == right


def test_an_endless_name_is_cut_before_it_is_compared() -> None:
    assert closest("e" * 10_000_000, PRIMITIVES) is None
