"""Many at once, with JAX's signatures: `vmap`, and `jacfwd`, `jacrev`, `hessian` over all unit vectors.

One structure row names the function of a single lane; the engine gives each of its operations an axis more.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from chainrule.ir.avals import Aval
from chainrule.tracing.bodies import Slot, call_body, emit_structure
from chainrule.tracing.leaves import leaves_of, rebuild
from chainrule.tracing.operands import as_tracer, inside, tape_now
from chainrule.tracing.refusals import refuse
from chainrule.tracing.spec import leaf_aval
from chainrule.tracing.tracer import Tracer
from chainrule.tracing.transforms import Argnums, argument_numbers, jvp, vjp

_ASK = "outside, ask the server: client.jacobian(f, x), client.per_example_grad(...)"


def vmap(f: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0) -> Callable[..., Any]:
    """f over lanes that lie along an axis of its arguments.

    Lanes are independent: a while loop or a fixed point inside ends for each at its own step, and random
    numbers differ from lane to lane.

    Args:
        f: a function of one lane.
        in_axes: the axis of lanes of every argument, or a tuple with one an argument; each an int, None where
            all lanes share it, or a tree of these like the argument.
        out_axes: where the axis is put in the results: an int, or a tree of them like the result.

    Raises:
        TraceError: no axis has lanes, or their lengths differ.
    """

    def mapped(*args: Any, **kwargs: Any) -> Any:
        inside("vmap", _ASK)
        axes = _axes_of_arguments(in_axes, args)
        size, lanes, given, placed = _cut(args, axes)
        body = call_body(f, given, kwargs)
        operands = [*lanes, *(Tracer(tape_now(), row) for row in body.closures)]
        avals = [Aval(a.dtype, (size, *a.shape)) for a in body.out_avals]
        attrs = {"in_axes": (*placed, *(-1 for _ in body.closures)), "size": (size,)}
        found = emit_structure("Vmap", body, operands, attrs, avals)
        result = rebuild(body.result, found)
        ends = _axes_of_leaves(out_axes, result, "out_axes")
        moved = [_put(x, axis) for x, axis in zip(found, ends, strict=True)]
        return rebuild(body.result, moved)

    mapped.__name__ = getattr(f, "__name__", "mapped")
    return mapped


def _axes_of_arguments(in_axes: Any, args: Sequence[Any]) -> list[list[int | None]]:
    if isinstance(in_axes, list):
        in_axes = tuple(in_axes)
    each = in_axes if isinstance(in_axes, tuple) else (in_axes,) * len(args)
    if len(each) != len(args):
        raise refuse(
            f"in_axes of cr.vmap has {len(each)} entries for {len(args)} arguments",
            "give one an argument, None where all lanes share it",
        )
    return [_axes_of_leaves(a, arg, "in_axes") for a, arg in zip(each, args, strict=True)]


def _axes_of_leaves(axes: Any, tree: Any, what: str) -> list[int | None]:
    """One axis a leaf; an int or None above stands for all leaves below."""
    if axes is None or isinstance(axes, int):
        return [axes] * len(leaves_of(tree, "x"))
    parts: list[tuple[Any, Any]] = []
    if isinstance(axes, dict) and isinstance(tree, dict) and axes.keys() == tree.keys():
        parts = [(axes[key], tree[key]) for key in sorted(tree)]
    elif isinstance(axes, list | tuple) and isinstance(tree, list | tuple):
        parts = list(zip(axes, tree, strict=False)) if len(axes) == len(tree) else []
    empty = isinstance(axes, dict | list | tuple) and not axes
    if not parts and not (empty and not leaves_of(tree, "x")):
        raise refuse(
            f"{what} of cr.vmap is no prefix of what it belongs to",
            "give an int, None, or a tree of these with its structure",
        )
    return [axis for a, part in parts for axis in _axes_of_leaves(a, part, what)]


def _cut(
    args: Sequence[Any], axes: Sequence[Sequence[int | None]]
) -> tuple[int, list[Tracer], list[Any], list[int]]:
    """The number of lanes; the leaves, the arguments of one lane, and where each leaf's lanes are."""
    sizes: dict[str, int] = {}
    lanes: list[Tracer] = []
    placed: list[int] = []
    given: list[Any] = []
    for k, (arg, own) in enumerate(zip(args, axes, strict=True)):
        leaves: list[Any] = []
        for (name, leaf), axis in zip(leaves_of(arg, f"args/{k}"), own, strict=True):
            if not isinstance(leaf, Tracer) and leaf_aval(leaf, name, False) is None:
                leaves.append(leaf)
                continue
            x = as_tracer(leaf)
            lanes.append(x)
            if axis is None:
                leaves.append(Slot(x.aval, x.weak))
                placed.append(-1)
                continue
            if not -x.ndim <= axis < x.ndim:
                raise refuse(f"axis {axis} of {name}, which is {x.aval}", "give an axis it has")
            at = axis % x.ndim
            sizes[name] = x.shape[at]
            leaves.append(Slot(Aval(x.aval.dtype, (*x.shape[:at], *x.shape[at + 1 :])), x.weak))
            placed.append(at)
        given.append(rebuild(arg, leaves))
    if len(set(sizes.values())) != 1:
        raise refuse(
            f"cr.vmap over {', '.join(f'{n}: {s}' for n, s in sizes.items()) or 'no axis'}",
            "give axes of equal length, at least one",
        )
    return next(iter(sizes.values())), lanes, given, placed


def _put(x: Tracer, axis: int | None) -> Any:
    if axis is None:
        raise refuse("out_axes=None of cr.vmap", "give the axis where lanes go, and index it")
    moved: Any = x
    return moved if axis == 0 else np.moveaxis(moved, 0, axis)


def jacfwd(
    f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """The Jacobian of f by columns: one jvp a number of the argument, all in one pass.

    Args:
        f: any function of arrays; with has_aux it returns (value, aux).
        argnums: the argument, or a tuple of them.
        has_aux: whether f returns something beside the value.

    Returns:
        A function of f's arguments. Its result has the structure of f's value outside and of the argument
        inside, each with the axes of the value, then those of the argument.
    """

    def derivative(*args: Any) -> Any:
        inside("jacfwd", _ASK)
        numbers, single = argument_numbers(argnums, len(args))
        aux: list[Any] = []
        primals = [args[k] for k in numbers]
        leaves = [as_tracer(leaf) for _, leaf in leaves_of(primals, "x")]

        def value(*chosen: Any) -> Any:
            return f(*_with(args, numbers, chosen))

        def column(*tangents: Any) -> Any:
            out, tangent = jvp(value, primals, rebuild(primals, tangents))
            return (tangent[0], out[1]) if has_aux else tangent

        units = _units(leaves)
        columns = vmap(column)(*units)
        if has_aux:
            columns, stacked = columns
            aux.append(rebuild(stacked, [x[0] for _, x in leaves_of(stacked, "aux")]))
        parts = [
            rebuild(columns, [_cut_columns(c, leaves, i) for _, c in leaves_of(columns, "y")])
            for i in range(len(leaves))
        ]
        jacobian = _structured(columns, parts, primals, single)
        return (jacobian, aux[0]) if has_aux else jacobian

    return derivative


def jacrev(
    f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """The Jacobian of f by rows: one vjp a number of the value, all in one pass. As `jacfwd` otherwise."""

    def derivative(*args: Any) -> Any:
        inside("jacrev", _ASK)
        numbers, single = argument_numbers(argnums, len(args))
        primals = [args[k] for k in numbers]
        found = vjp(lambda *chosen: f(*_with(args, numbers, chosen)), *primals, has_aux=has_aux)
        value, pull = found[:2]
        leaves = [as_tracer(leaf) for _, leaf in leaves_of(value, "y")]
        rows = vmap(lambda *cts: list(pull(rebuild(value, cts))))(*_units(leaves))
        inner = [leaf for _, leaf in leaves_of(rows, "x")]
        parts = [
            rebuild(value, [_cut_rows(row, leaves, i) for i in range(len(leaves))]) for row in inner
        ]
        jacobian = _structured(value, parts, primals, single)
        return (jacobian, found[2]) if has_aux else jacobian

    return derivative


def hessian(
    f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """The second derivatives of f: forward over reverse. As `jacfwd` otherwise."""
    return jacfwd(jacrev(f, argnums, has_aux), argnums, has_aux)


def _with(args: Sequence[Any], numbers: Sequence[int], chosen: Sequence[Any]) -> list[Any]:
    given = list(args)
    for k, value in zip(numbers, chosen, strict=True):
        given[k] = value
    return given


def _units(leaves: Sequence[Tracer]) -> list[Any]:
    """All unit vectors of some values together, in front of each leaf's own axes."""
    sizes = [prod(x.shape) for x in leaves]
    total, start, units = sum(sizes), 0, []
    for x, size in zip(leaves, sizes, strict=True):
        if not x.aval.dtype.is_float:
            raise refuse(
                f"a Jacobian of {x.aval}, which has no derivative",
                "differentiate floating-point values only; cast it with .astype(np.float64)",
            )
        block = np.eye(total, size, -start, x.dtype)
        units.append(np.reshape(as_tracer(block), (total, *x.shape)))
        start += size
    return units


def _cut_columns(columns: Any, leaves: Sequence[Tracer], i: int) -> Any:
    """Lanes of one leaf of the argument, behind the axes of the value."""
    moved = np.moveaxis(_lanes_of(columns, leaves, i), 0, -1)
    return np.reshape(moved, (*columns.shape[1:], *leaves[i].shape))


def _cut_rows(rows: Any, leaves: Sequence[Tracer], i: int) -> Any:
    """Lanes of one leaf of the value, before the axes of the argument."""
    return np.reshape(_lanes_of(rows, leaves, i), (*leaves[i].shape, *rows.shape[1:]))


def _lanes_of(x: Any, leaves: Sequence[Tracer], i: int) -> Any:
    start = sum(prod(leaf.shape) for leaf in leaves[:i])
    return x[start : start + prod(leaves[i].shape)]


def _structured(value: Any, parts: Sequence[Any], primals: Sequence[Any], single: bool) -> Any:
    """From one tree of the value a leaf of the arguments to the value's structure outside."""
    by_leaf = [[leaf for _, leaf in leaves_of(part, "y")] for part in parts]
    blocks = []
    for place in range(len(leaves_of(value, "y"))):
        inner = rebuild(list(primals), [leaves[place] for leaves in by_leaf])
        blocks.append(inner[0] if single else tuple(inner))
    return rebuild(value, blocks)
