"""What an op means: kernel, derivatives, cost and workspace, together, one `Op` a primitive.

Rules emit graph through `Expr`, never numbers (law 2). A vjp rule gives the cotangent of each input at the
shape that falls out of the equation; summing it down to the input's shape is done once, in autodiff.py. A jvp
rule gives the tangent at exactly the output's shape. Rules copy dimensions from avals (they may be k*N).
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from chainrule.ir.attrs import AttrValue
from chainrule.ir.avals import Aval
from chainrule.ir.expr import Expr

Array = np.ndarray[Any, np.dtype[Any]]
AttrMap = dict[str, AttrValue]
Arrays = tuple[Array, ...]
Tangents = tuple[Expr | None, ...]
Thunk = Callable[[], object]

Bind = Callable[[Arrays, Array, AttrMap], Thunk]
View = Callable[[Array, AttrMap, tuple[int, ...]], Array | None]
Vjp = Callable[..., tuple[Expr | None, ...]]
Jvp = Callable[..., Expr | None]
Batching = Callable[..., Expr]
Measure = Callable[[tuple[Aval, ...], Aval, AttrMap], int]
Footprint = Callable[[Arrays, Array, AttrMap], int]

ALL = (-1,)


@dataclass(frozen=True, slots=True)
class NoDerivative:
    """In place of a rule: the derivative is zero, or has no meaning, for this reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Op:
    """The meaning of one primitive.

    Attributes given to kernels, views and measures are concrete: multiples of N are numbers by then.

    Attributes:
        name: its row in `chainrule.ir.primitives`.
        bind: (inputs, output, attrs) -> thunk. The arrays stay where they are for the life of a plan, so
            binding may do any work that depends on shapes and addresses; each call of the thunk fills the
            output from the inputs. Inputs may have any strides; the output is C-contiguous and shares no
            memory with an input, unless in place. None for pure views, and for leaves: the plan fills those.
        vjp: (ct, out, *inputs, **attrs) -> one cotangent or None an input.
        jvp: (tangents, out, *inputs, **attrs) -> tangent of the output; a tangent is None where it is zero.
        cost: floating-point operations of one run, from concrete avals. A comparison, a selection or the
            moving of an element counts as one, so no work is free of charge.
        workspace: (inputs, output, attrs) -> bytes that one run of the thunk allocates and frees, an upper
            bound; interpreter objects (below 2 KiB) are not counted. It looks at layouts only, so `phantom`
            arrays do.
        linear: groups of inputs in which the op is jointly linear, the others held fixed. `Mul` has
            ((0,), (1,)), `Add` ((0, 1),), a variadic op (ALL,). split.py and the default jvp read it.
        inplace: inputs whose buffer the output may take over when this is their last use, shape and dtype
            agree, the input is C-contiguous, and no other input of the node lies in that buffer otherwise.
        view: (input, attrs, shape) -> a view of input 0, for ops that move nothing; it reads no element, so
            a `phantom` does. None where these strides allow no view: then the plan gives the value a buffer
            and runs `bind` (only Reshape).
        batching: (size, batched, *inputs, **attrs) -> the output with a new leading axis of length `size`,
            which may be k*N. Inputs whose entry in `batched` is True have that axis in front, the others have
            none; at least one has it, but for RandomBits. None for leaves, which are the same in every lane.
    """

    name: str
    bind: Bind | None
    vjp: Vjp | NoDerivative
    jvp: Jvp | NoDerivative
    cost: Measure
    workspace: Footprint
    linear: tuple[tuple[int, ...], ...] = ()
    inplace: tuple[int, ...] = ()
    view: View | None = None
    batching: Batching | None = None


def phantom(aval: Aval) -> Array:
    """An array with the layout of a C-contiguous buffer and one element of memory; never to be read."""
    dtype = aval.dtype.numpy
    strides = tuple(
        dtype.itemsize * prod(max(d, 1) for d in aval.dims[axis + 1 :]) for axis in range(aval.rank)
    )
    return as_strided(np.empty(1, dtype), aval.dims, strides)


def no_cost(inputs: tuple[Aval, ...], out: Aval, attrs: AttrMap) -> int:
    """Nothing is computed."""
    del inputs, out, attrs
    return 0


def no_workspace(inputs: Arrays, out: Array, attrs: AttrMap) -> int:
    """Nothing is allocated."""
    del inputs, out, attrs
    return 0


def per_element(n: int = 1) -> Measure:
    """n operations for each element of the output."""

    def cost(inputs: tuple[Aval, ...], out: Aval, attrs: AttrMap) -> int:
        del inputs, attrs
        return n * out.size

    return cost


def per_input(index: int = 0) -> Measure:
    """One operation for each element of an input."""

    def cost(inputs: tuple[Aval, ...], out: Aval, attrs: AttrMap) -> int:
        del out, attrs
        return inputs[index].size

    return cost
