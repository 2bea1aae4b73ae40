"""Small graphs that several tests send: one with a known derivative, one with a batch, one to refuse."""

from chainrule.ir.avals import Aval, BatchDim, DType
from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr, apply, reduce_sum
from chainrule.ir.graph import Graph

F64 = DType.FLOAT64


def article() -> Graph:
    """y = sin((2 x + 1)^2), whose derivative is 4 (2 x + 1) cos((2 x + 1)^2)."""
    b = Builder()
    b.line, b.label = "article.py:3", "x"
    x = Expr(b, b.input("args/0", Aval(F64)))
    b.line, b.label = "article.py:4", "u"
    u = x * 2.0 + 1.0
    b.line, b.label = "article.py:5", "y"
    y = apply("Sin", u * u)
    return Graph((b.finish((y.id,), ("out",), "main"),), (b.debug(),))


def mean_square(width: int = 3) -> Graph:
    """mean over N of sum((x w)^2): x is (N, width), w is (width,)."""
    b = Builder()
    w = Expr(b, b.input("args/0", Aval(F64, (width,))))
    x = Expr(b, b.input("args/1", Aval(F64, (BatchDim(), width))))
    z = x * w
    n = Expr(b, b.add("Cast", b.add("DimSize", k=1), dtype=F64))
    loss = reduce_sum(z * z, axes=(0, 1), keepdims=False) / n
    return Graph((b.finish((loss.id,), ("out",), "main"),), (b.debug(),))


def bomb(side: int = 10**6) -> Graph:
    """(1, 1) broadcast to (side, side), doubled and summed: tiny to send, enormous to run."""
    b = Builder()
    x = Expr(b, b.input("args/0", Aval(F64, (1, 1))))
    wide = apply("Expand", x, shape=(side, side))
    loss = reduce_sum(wide * 2.0, axes=(0, 1), keepdims=False)
    return Graph((b.finish((loss.id,), ("out",), "main"),), (b.debug(),))


def endless(side: int = 1000, products: int = 4000) -> Graph:
    """A chain of matrix products that takes minutes, and little memory."""
    b = Builder()
    x = Expr(b, b.input("args/0", Aval(F64)))
    a = apply("Expand", apply("Reshape", x, shape=(1, 1)), shape=(side, side)) * 1e-3
    y = a
    for _ in range(products):
        y = apply("MatMul", y, a)
    loss = reduce_sum(y, axes=(0, 1), keepdims=False)
    return Graph((b.finish((loss.id,), ("out",), "main"),), (b.debug(),))
