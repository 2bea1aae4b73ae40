"""The documented bounds."""

from chainrule.ir.limits import DEFAULT, MAX_CONSTANT_BYTES, Limits


def test_defaults_are_the_documented_ones() -> None:
    assert Limits(20_000, 200_000, 256, 16, 4 << 20) == DEFAULT
    assert MAX_CONSTANT_BYTES == 65_536
