"""Nested dicts, lists and tuples of arrays as named leaves, and back from the names alone.

`{"enc": [w, b]}` under `params` has the leaves `params/enc/[0]` and `params/enc/[1]`: a dict key is
percent-encoded, [i] is a list item, (i) a tuple item. None and empty containers have no leaves.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import quote, unquote

from chainrule.errors import ErrorCode, GraphError

_ITEM = re.compile(r"([\[(])(\d+)[\])]\Z")
MAX_LEAVES = 10_000


def flatten(tree: Any, prefix: str) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """Names and leaves, dicts in sorted key order.

    Raises:
        GraphError: a key that is no string, or more than MAX_LEAVES leaves.
    """
    pairs = []
    for pair in _walk(tree, prefix):
        pairs.append(pair)
        if len(pairs) > MAX_LEAVES:
            raise GraphError(
                f"{prefix} has more than {MAX_LEAVES} leaves",
                code=ErrorCode.TOO_LARGE,
                cure="stack equal arrays",
            )
    return tuple(name for name, _ in pairs), tuple(leaf for _, leaf in pairs)


def _walk(tree: Any, path: str) -> Iterator[tuple[str, Any]]:
    if tree is None:
        return
    if isinstance(tree, dict):
        for key in tree:
            if not isinstance(key, str):
                raise GraphError(
                    f"key {key!r} at {path} is no string",
                    code=ErrorCode.BAD_NAME,
                    cure="name parameters by strings",
                )
        for key in sorted(tree):
            yield from _walk(tree[key], f"{path}/{_quoted(key)}")
    elif isinstance(tree, list):
        for i, item in enumerate(tree):
            yield from _walk(item, f"{path}/[{i}]")
    elif isinstance(tree, tuple):
        for i, item in enumerate(tree):
            yield from _walk(item, f"{path}/({i})")
    else:
        yield path, tree


def _quoted(key: str) -> str:
    try:
        return quote(key, safe="")
    except UnicodeEncodeError:
        raise GraphError(
            f"key {key!r} has no UTF-8 form",
            code=ErrorCode.BAD_NAME,
            cure="leave lone surrogates out of names",
        ) from None


def unflatten(names: Sequence[str], leaves: Iterable[Any], prefix: str) -> Any:
    """The tree whose `flatten` gave these names; {} where there are none.

    Raises:
        GraphError: a name outside the prefix, twice, or of a leaf that would hold another.
    """
    root = _Node()
    for name, leaf in zip(names, leaves, strict=True):
        if name == prefix and len(names) == 1:
            return leaf
        if not name.startswith(prefix + "/"):
            raise GraphError(f"leaf {name!r} is not under {prefix!r}", code=ErrorCode.BAD_NAME)
        node = root
        *inner, last = name[len(prefix) + 1 :].split("/")
        for part in inner:
            node = node.setdefault(part, _Node())
            if not isinstance(node, _Node):
                raise GraphError(f"a leaf holds {name!r}", code=ErrorCode.BAD_NAME)
        if last in node:
            raise GraphError(f"leaf {name!r} is there already", code=ErrorCode.DUPLICATE_NAME)
        node[last] = leaf
    return _close(root)


class _Node(dict[str, Any]):
    """A container under construction, told from a leaf that happens to be a dict."""


def _close(node: Any) -> Any:
    """Turn the nodes that `unflatten` collected into the containers that their keys tell."""
    if not isinstance(node, _Node):
        return node
    items = [_ITEM.match(key) for key in node]
    if node and all(items):
        ordered = sorted((int(m[2]), key) for m, key in zip(items, node, strict=True) if m)
        values = [_close(node[key]) for _, key in ordered]
        return values if next(iter(node)).startswith("[") else tuple(values)
    return {unquote(key): _close(value) for key, value in node.items()}


def map_tree(fn: Any, tree: Any) -> Any:
    """The same containers with every leaf replaced by fn(leaf)."""
    if tree is None:
        return None
    if isinstance(tree, dict):
        return {key: map_tree(fn, value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(map_tree(fn, value) for value in tree)
    return fn(tree)
