"""Attributes in their one form: complete, sorted, each of its kind."""

import pytest

from chainrule.errors import ChainruleError, ErrorCode
from chainrule.ir.attrs import AttrSpec, AttrValue, complete
from chainrule.ir.avals import BatchDim, DType

SPECS = (
    AttrSpec("n", "int", low=-3, high=3),
    AttrSpec("flag", "bool", False),
    AttrSpec("axes", "ints", ()),
    AttrSpec("dims", "dims", ()),
    AttrSpec("data", "bytes", b""),
    AttrSpec("name", "str", ""),
    AttrSpec("dtype", "dtype", DType.BOOL),
    AttrSpec("p", "float", 0.5, low=0.0, high=1.0),
)


def test_defaults_are_filled_in_and_names_sorted() -> None:
    out = complete("Op", SPECS, {"n": 2, "dims": (BatchDim(2), 1)})
    assert [name for name, _ in out] == ["axes", "data", "dims", "dtype", "flag", "n", "name", "p"]
    assert dict(out)["dims"] == (BatchDim(2), 1)
    assert dict(out)["p"] == 0.5


def test_an_integer_will_do_for_a_float() -> None:
    value = dict(complete("Op", SPECS, {"n": 0, "p": 1}))["p"]
    assert (value, type(value)) == (1.0, float)


@pytest.mark.parametrize(
    ("given", "code", "text"),
    [
        ({}, ErrorCode.ATTR_RANGE, "lacks its attribute 'n'; give n (int)"),
        ({"n": 1, "m": 1}, ErrorCode.UNKNOWN_ATTR, "no attribute 'm'; it takes axes, data"),
        ({"n": 4}, ErrorCode.ATTR_RANGE, "n of Op is 4; give a value from -3 to 3"),
        ({"n": True}, ErrorCode.ATTR_RANGE, "kind int"),
        ({"n": 1.0}, ErrorCode.ATTR_RANGE, "kind int"),
        ({"n": DType.FLOAT32}, ErrorCode.ATTR_RANGE, "kind int"),
        ({"n": 1, "flag": 1}, ErrorCode.ATTR_RANGE, "kind bool"),
        ({"n": 1, "axes": (BatchDim(1),)}, ErrorCode.ATTR_RANGE, "kind ints"),
        ({"n": 1, "axes": (True,)}, ErrorCode.ATTR_RANGE, "kind ints"),
        ({"n": 1, "axes": 3}, ErrorCode.ATTR_RANGE, "kind ints"),
        ({"n": 1, "dims": ("3",)}, ErrorCode.ATTR_RANGE, "kind dims"),
        ({"n": 1, "data": "x"}, ErrorCode.ATTR_RANGE, "kind bytes"),
        ({"n": 1, "name": b"x"}, ErrorCode.ATTR_RANGE, "kind str"),
        ({"n": 1, "dtype": 1}, ErrorCode.ATTR_RANGE, "kind dtype"),
        ({"n": 1, "p": 1.5}, ErrorCode.ATTR_RANGE, "from 0.0 to 1.0"),
        ({"n": 1, "p": float("nan")}, ErrorCode.ATTR_RANGE, "from 0.0 to 1.0"),
        ({"n": 1, "p": 10**400}, ErrorCode.ATTR_RANGE, "kind float"),
    ],
)
def test_refusals(given: dict[str, AttrValue], code: ErrorCode, text: str) -> None:
    with pytest.raises(ChainruleError) as caught:
        complete("Op", SPECS, given)
    assert caught.value.code is code
    assert text in str(caught.value)
