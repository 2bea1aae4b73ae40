"""Trees of arrays as named leaves, and back from the names."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.errors import ErrorCode, GraphError
from chainrule.ir import trees
from chainrule.ir.names import check_name
from chainrule.ir.trees import flatten, map_tree, unflatten

keys = st.text(max_size=6).filter(lambda key: key.isprintable() and _encodes(key))


def _encodes(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


# None and empty containers have no leaves, so a tree with them can't come back.
full = st.recursive(
    st.integers(),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=4)
        | st.lists(inner, min_size=1, max_size=4).map(tuple)
        | st.dictionaries(keys, inner, min_size=1, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(full)
def test_a_tree_comes_back_from_its_names(tree: Any) -> None:
    names, leaves = flatten(tree, "params")
    assert len(set(names)) == len(names)
    assert unflatten(names, leaves, "params") == tree
    for name in names:
        if len(name) <= 256:
            check_name(name, "leaf")


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.text(alphabet="ab[](0123)/%", max_size=8).map(lambda s: f"p/{s}"), max_size=5))
def test_any_names_give_a_tree_or_a_graph_error(names: list[str]) -> None:
    try:
        unflatten(names, range(len(names)), "p")
    except GraphError as error:
        assert error.code in (ErrorCode.BAD_NAME, ErrorCode.DUPLICATE_NAME)


def test_names_are_the_documented_ones() -> None:
    tree = {"enc": [1, (2, 3)], "a b/c": {"": 4}, "n": None, "e": {}}
    names, leaves = flatten(tree, "params")
    assert names == (
        "params/a%20b%2Fc/",
        "params/enc/[0]",
        "params/enc/[1]/(0)",
        "params/enc/[1]/(1)",
    )
    assert leaves == (4, 1, 2, 3)
    assert flatten(7, "out") == (("out",), (7,))
    assert unflatten(("out",), (7,), "out") == 7
    assert unflatten((), (), "params") == {}


def test_ten_items_keep_their_order() -> None:
    items = list(range(12))
    names, leaves = flatten(items, "x")
    pairs = sorted(zip(names, leaves, strict=True))
    assert unflatten([n for n, _ in pairs], [v for _, v in pairs], "x") == items


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (("p/a", "p/a"), ErrorCode.DUPLICATE_NAME),
        (("p/a", "p/a/b"), ErrorCode.BAD_NAME),
        (("p/a/b", "p/a"), ErrorCode.DUPLICATE_NAME),
        (("q/a",), ErrorCode.BAD_NAME),
        (("p", "p/a"), ErrorCode.BAD_NAME),
        (("px",), ErrorCode.BAD_NAME),
    ],
)
def test_names_that_are_no_tree(names: tuple[str, ...], code: ErrorCode) -> None:
    with pytest.raises(GraphError) as caught:
        unflatten(names, range(len(names)), "p")
    assert caught.value.code is code


@pytest.mark.parametrize("tree", [{1: 2}, {"a": {("b",): 2}}, {"\ud800": 1}])
def test_keys_that_have_no_name(tree: Any) -> None:
    with pytest.raises(GraphError) as caught:
        flatten(tree, "params")
    assert caught.value.code is ErrorCode.BAD_NAME


def test_too_many_leaves_are_refused_as_they_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "MAX_LEAVES", 5)
    assert len(flatten([0] * 5, "x")[0]) == 5
    with pytest.raises(GraphError, match="more than 5 leaves") as caught:
        flatten([0] * 6, "x")
    assert caught.value.code is ErrorCode.TOO_LARGE


def test_a_leaf_may_be_a_dict_on_its_way_back() -> None:
    assert unflatten(("p/a", "p/b"), ({"[0]": 1}, 2), "p") == {"a": {"[0]": 1}, "b": 2}


def test_map_keeps_containers() -> None:
    assert map_tree(lambda v: v + 1, {"a": [1, (2,)], "b": None}) == {"a": [2, (3,)], "b": None}
