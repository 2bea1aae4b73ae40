"""Rewrites that keep every bit and save a node.

    x * 1, x / 1, x ** 1           ->  x
    -(-x)                          ->  x
    Reshape(Reshape(x))            ->  Reshape(x)
    Transpose(Transpose(x))        ->  Transpose(x) with the product of the permutations
    movement of a filled constant  ->  a filled constant
    StopGradient(x)                ->  x, since all derivatives are taken by now
    Where(z < x, x, Max(x, z))     ->  Max(x, z)
    x (op) Expand(s)               ->  x (op) s, where the shape of x makes the Expand superfluous

x + 0 is kept (-0 + 0 is +0), and x * 0 (NaN stays NaN).
"""

from chainrule.ir.attrs import Attrs, AttrValue, callees
from chainrule.ir.avals import Aval, BatchDim
from chainrule.ir.builder import Builder
from chainrule.ir.rules import broadcast
from chainrule_server.engine.flat import Copier, Flat, finish

_ELEMENTWISE = (
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Pow",
    "Max",
    "Min",
    "Less",
    "Equal",
    "And",
    "Or",
    "Xor",
)
_FILLED_MOVES = ("Reshape", "Transpose", "Expand", "Slice", "Flip")


def simplify(flat: Flat) -> Flat:
    """The function with the rewrites above, dead rows left out; bodies as they are."""
    f = flat.function
    b = Builder()
    copier = Copier(b, flat)
    rows: list[int] = []
    several = {f.inputs[row][0] for row, op in enumerate(f.ops) if op == "Item"}
    for node in f:
        b.label, b.line = flat.debug.label(node.id) or "", flat.debug.line(node.id) or ""
        if node.op == "Input":
            rows.append(b.input(str(node.attr("name")), node.aval))
        elif node.op == "Item" or callees(node.attrs) or node.id in several:
            rows.append(copier.copy(node.id, rows))
        else:
            operands = [rows[i] for i in node.inputs]
            rows.append(_rewrite(b, node.op, operands, node.attrs, node.aval))
    return finish(b, [rows[i] for i in f.outputs], f.output_names, f.name)


def _rewrite(b: Builder, op: str, operands: list[int], full: Attrs, aval: Aval) -> int:
    attrs = dict(full)
    if op in _ELEMENTWISE:
        operands = _without_expand(b, operands, aval)
    first = operands[0] if operands else -1
    if op in _FILLED_MOVES and b.op(first) == "Constant":
        constant = dict(b.attrs(first))
        if len(_data(constant)) == aval.dtype.itemsize:
            return b.add("Constant", dtype=aval.dtype, shape=aval.shape, data=_data(constant))
    if op == "Mul":
        for one, other in (operands, operands[::-1]):
            if _is_one(b, one) and b.aval(other) == aval:
                return other
    elif _is_identity(b, op, operands, attrs) and b.aval(first) == aval:
        return first
    elif op == "Where" and _is_maximum(b, operands):
        return operands[2]
    elif op == "Neg" and b.op(first) == "Neg":
        return b.operands(first)[0]
    elif op in ("Reshape", "Expand") and b.aval(first).shape == attrs["shape"]:
        return first
    elif op == "Reshape" and b.op(first) == "Reshape":
        return _rewrite(b, op, list(b.operands(first)), full, aval)
    elif op == "Transpose":
        perm = attrs["perm"]
        assert isinstance(perm, tuple)
        if b.op(first) == "Transpose":
            inner = dict(b.attrs(first))["perm"]
            assert isinstance(inner, tuple)
            perm = tuple(inner[p] for p in perm if isinstance(p, int))
            first = b.operands(first)[0]
        if perm == tuple(range(len(perm))):
            return first
        return b.add(op, first, perm=perm)
    return b.repeat(op, tuple(operands), full, aval)


def _is_identity(b: Builder, op: str, operands: list[int], attrs: dict[str, AttrValue]) -> bool:
    """Whether the op gives its first operand back, bit for bit."""
    if op == "Div":
        return _is_one(b, operands[1])
    return op == "StopGradient" or (op == "IntPow" and attrs["n"] == 1)


def _is_maximum(b: Builder, operands: list[int]) -> bool:
    """Where(z < x, x, Max(x, z)): both branches are the maximum, which takes NaN from either side as well."""
    condition, a, other = operands
    if b.op(condition) != "Less" or b.op(other) != "Max":
        return False
    smaller, larger = b.operands(condition)
    return a == larger and b.operands(other) == (larger, smaller) and b.aval(a) == b.aval(other)


def _without_expand(b: Builder, operands: list[int], aval: Aval) -> list[int]:
    """Operands of an elementwise op with Expands dropped, as long as the others give the shape."""
    for k, row in enumerate(operands):
        source = _source(b, row)
        if source == row:
            continue
        slim = [*operands[:k], source, *operands[k + 1 :]]
        shape = b.aval(slim[0]).shape
        for other in slim[1:]:
            shape = broadcast(shape, b.aval(other).shape)
        if shape == aval.shape:
            operands = slim
    return operands


def _source(b: Builder, row: int) -> int:
    """What an Expand or a filled constant repeats, at its smallest shape."""
    if b.op(row) == "Expand":
        return b.operands(row)[0]
    if b.op(row) == "Constant" and b.aval(row).rank:
        attrs = dict(b.attrs(row))
        aval = b.aval(row)
        if len(_data(attrs)) == aval.dtype.itemsize and _repeats(aval):
            return b.add("Constant", dtype=aval.dtype, shape=(), data=_data(attrs))
    return row


def _repeats(aval: Aval) -> bool:
    return any(isinstance(d, BatchDim) or d > 1 for d in aval.shape)


def _is_one(b: Builder, row: int) -> bool:
    if b.op(row) != "Constant":
        return False
    data, dtype = _data(dict(b.attrs(row))), b.aval(row).dtype
    return bool(data == dtype.numpy.type(1).tobytes())


def _data(attrs: dict[str, AttrValue]) -> bytes:
    data = attrs["data"]
    assert isinstance(data, bytes)
    return data
