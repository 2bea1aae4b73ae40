"""The vocabulary as a whole."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.errors import ChainruleError, ErrorCode
from chainrule.ir.attrs import REQUIRED
from chainrule.ir.avals import Aval, BatchDim, DType
from chainrule.ir.builder import Builder
from chainrule.ir.functions import FUNCTIONS
from chainrule.ir.primitives import PRIMITIVES
from chainrule.ir.structure import STRUCTURE


def test_a_name_means_one_thing() -> None:
    assert not PRIMITIVES.keys() & FUNCTIONS.keys()
    assert all(name == signature.name for name, signature in PRIMITIVES.items())
    assert all(name == f.signature.name for name, f in FUNCTIONS.items())


def _exists(owner: object, path: str) -> bool:
    for part in path.split("."):
        owner = getattr(owner, part, None)
    return owner is not None


def test_every_numpy_name_exists_and_traces_to_one_primitive() -> None:
    names = [name for signature in PRIMITIVES.values() for name in signature.numpy]
    assert len(set(names)) == len(names)
    assert [n for n in names if not _exists(np, n) and not hasattr(np.ndarray, n)] == []


def test_attributes_are_of_known_kinds_with_defaults_in_range() -> None:
    kinds = {*VALUES, "function"}
    for signature in [*PRIMITIVES.values(), *(f.signature for f in FUNCTIONS.values())]:
        names = [spec.name for spec in signature.attrs]
        assert len(set(names)) == len(names)
        for spec in signature.attrs:
            assert spec.kind in kinds
            if spec.default is not REQUIRED and isinstance(spec.default, int | float):
                assert spec.low <= spec.default <= spec.high


counts = st.integers(-3, 4)
batch = st.integers(-2, 3).map(BatchDim)
sides = st.integers(0, 4) | st.integers(1, 3).map(BatchDim) | st.sampled_from((2**31 - 1, 2**31))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "int": counts | st.sampled_from((2**63, -(2**70))),
    "float": st.floats(),
    "str": st.text(max_size=3),
    "bytes": st.binary(max_size=17),
    "dtype": st.sampled_from(DType),
    "ints": st.lists(counts, max_size=4).map(tuple),
    "dims": st.lists(counts | batch | sides, max_size=4).map(tuple),
}
avals = st.builds(
    Aval,
    st.sampled_from((DType.FLOAT64, DType.INT64, DType.BOOL, DType.UINT32)),
    st.lists(sides, max_size=4).map(tuple),
)


@pytest.mark.parametrize(
    "op", [op for op in (*PRIMITIVES, *FUNCTIONS) if op not in ("Input", "Item", *STRUCTURE)]
)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.data())
def test_a_rule_gives_avals_or_a_reason(op: str, data: st.DataObject) -> None:
    b = Builder()
    one = data.draw(avals)
    given_avals = data.draw(st.lists(avals | st.just(one), max_size=4))
    signature = PRIMITIVES.get(op) or FUNCTIONS[op].signature
    if signature.arity is not None:
        given_avals = (given_avals * 4 + [one] * 4)[: signature.arity]
    rows = [b.input(f"x{i}", aval) for i, aval in enumerate(given_avals)]
    attrs = {spec.name: data.draw(VALUES[spec.kind]) for spec in signature.attrs}
    try:
        made = b.add_multi(op, *rows, **attrs)
    except ChainruleError as error:
        assert error.code is not ErrorCode.INTERNAL
        assert len(str(error)) < 1_000
    else:
        assert all(isinstance(b.aval(row), Aval) for row in made)
