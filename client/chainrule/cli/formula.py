"""A formula as a function of NumPy code: arithmetic and named functions, read and never executed."""

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from chainrule.errors import ErrorCode, TraceError
from chainrule.ir.names import closest

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "sum": np.sum,
    "mean": np.mean,
    "max": np.maximum,
    "min": np.minimum,
}
_CONSTANTS = {"pi": np.pi, "e": np.e}
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.MatMult: operator.matmul,
}
_MAX_CHARS = 1_000


def parse_formula(text: str) -> tuple[Callable[..., Any], tuple[str, ...]]:
    """The function of a formula, and the names of its arguments in order of appearance.

    `^` is a power, and a number before a name or a bracket multiplies it: `sin((2x + 1)^2)`.

    Raises:
        TraceError: it is no formula; names the part and the cure.
    """
    if len(text) > _MAX_CHARS:
        raise _bad(f"a formula of {len(text)} characters", f"stay below {_MAX_CHARS}")
    spelled = re.sub(r"(?<![\w.])(\d+\.?\d*)(?=[A-Za-df-z(])", r"\1*", text.replace("^", "**"))
    try:
        tree = ast.parse(spelled.strip(), mode="eval").body
    except (SyntaxError, RecursionError, ValueError):
        raise _bad(f"{text!r} is no formula", "write it as sin((2*x + 1)^2)") from None
    names = [n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id not in _CONSTANTS]
    called = set(map(_called, ast.walk(tree)))
    arguments = tuple(sorted({n for n in names if n not in called}, key=spelled.index))

    def formula(*values: Any) -> Any:
        return _value(tree, dict(zip(arguments, values, strict=True)))

    _check(tree)
    return formula, arguments


def _called(node: ast.AST) -> str | None:
    """The name of the function that a node calls."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id
    return None


def _check(tree: ast.expr) -> None:
    """Everything that `_value` would refuse, before there are values."""
    for node in ast.walk(tree):
        name = _called(node)
        if name is not None:
            _function(name)
        elif isinstance(node, ast.Constant) and type(node.value) not in (int, float):
            raise _bad(f"{node.value!r} is no number", "use numbers, names and functions")
        elif isinstance(node, ast.expr) and not isinstance(
            node, ast.BinOp | ast.UnaryOp | ast.Call | ast.Name | ast.Constant
        ):
            raise _bad(f"{ast.unparse(node)!r} is no arithmetic", "use + - * / ^ and functions")


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.Name(id=name):
            return values[name] if name in values else _CONSTANTS[name]
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return -_value(inner, values)
        case ast.UnaryOp(op=ast.UAdd(), operand=inner):
            return _value(inner, values)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _BINARY[type(op)](_value(left, values), _value(right, values))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            return _function(name)(*(_value(arg, values) for arg in args))
    raise _bad(f"{ast.unparse(node)!r} is no arithmetic", "use + - * / ^ and functions")


def _function(name: str) -> Callable[..., Any]:
    if name not in _FUNCTIONS:
        near = closest(name, _FUNCTIONS)
        cure = f"did you mean {near}?" if near else f"known are {', '.join(_FUNCTIONS)}"
        raise _bad(f"function {name!r} is unknown", cure)
    return _FUNCTIONS[name]


def _bad(fact: str, cure: str) -> TraceError:
    return TraceError(fact, code=ErrorCode.TRACE, cure=cure)
