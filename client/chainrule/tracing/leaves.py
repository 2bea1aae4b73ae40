"""Trees of arrays with their leaves taken out and put back, in the order of `ir.trees`."""

from collections.abc import Iterable, Iterator
from typing import Any

from chainrule.ir import trees


def leaves_of(tree: Any, prefix: str) -> list[tuple[str, Any]]:
    """Name and value of every leaf; None and empty containers have none."""
    return list(zip(*trees.flatten(tree, prefix), strict=True))


def rebuild(tree: Any, leaves: Iterable[Any]) -> Any:
    """The same containers, named tuples included, with other leaves in the order of `leaves_of`."""
    return _rebuild(tree, iter(leaves))


def _rebuild(tree: Any, leaves: Iterator[Any]) -> Any:
    if tree is None:
        return None
    if isinstance(tree, dict):
        done = {key: _rebuild(tree[key], leaves) for key in sorted(tree)}
        return {key: done[key] for key in tree}
    if isinstance(tree, list | tuple):
        items = [_rebuild(item, leaves) for item in tree]
        # A named tuple takes its fields one by one.
        return type(tree)(*items) if hasattr(tree, "_fields") else type(tree)(items)
    return next(leaves)
