"""The text of a graph, letter by letter."""

from chainrule.ir.avals import BatchDim
from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr, pad, reduce_sum
from chainrule.ir.graph import Debug, Graph
from chainrule.ir.printer import around, to_text
from support.written import N, f8, i8


def _graph() -> Graph:
    b = Builder()
    x = Expr(b, b.input("args/0", f8(N, 3)))
    b.label, b.line = "h", "model.py:12"
    y = x * 2.0
    b.label, b.line = "", "model.py:13"
    z = pad(y, (N, 0), (BatchDim(-1), 2), (0, 1))
    inner = b.finish([reduce_sum(z, (0, 1)).id, z.id], ["out/a", "out/b"], "inner")
    debug = b.debug()
    b = Builder((inner,))
    x_row = b.input("args/0", f8(N, 3))
    first, second = b.add_multi("Call", x_row, function=0)
    return Graph((inner, b.finish([first, second], ["a", "b"])), (debug, Debug()))


def test_golden_text() -> None:
    assert to_text(_graph()) == (
        "function 0 inner {\n"
        "  %0 = Input [name='args/0'] : float64[N,3]\n"
        "  %1 = Constant [data=0000000000000040, dtype=float64, shape=()] : float64[]"
        "   # h, model.py:12\n"
        "  %2 = Mul %0 %1 : float64[N,3]   # h, model.py:12\n"
        "  %3 = Pad %2 [high=(-1N, 2), interior=(0, 1), low=(N, 0)] : float64[N,7]"
        "   # model.py:13\n"
        "  %4 = ReduceSum %3 [axes=(0, 1), keepdims=False] : float64[]   # model.py:13\n"
        "  return out/a = %4, out/b = %3\n"
        "}\n"
        "\n"
        "function 1 main {\n"
        "  %0 = Input [name='args/0'] : float64[N,3]\n"
        "  %1 = Call %0 [function=0] : float64[]\n"
        "  %2 = Item %1 [index=1] : float64[N,7]\n"
        "  return a = %1, b = %2\n"
        "}\n"
    )


def test_long_constants_are_cut() -> None:
    b = Builder()
    b.input("x", i8())
    b.constant(range(5))
    text = to_text(Graph((b.finish([1], ["c"]),)))
    assert "Constant [data=00000000...(40 bytes), dtype=int64, shape=(5)] : int64[5]" in text


def test_the_rows_around_one() -> None:
    f = _graph().functions[0]
    lines = around(f, 1, context=1).splitlines()
    assert [line[:5] for line in lines] == ["  %0 ", "->%1 ", "  %2 "]
    assert around(f, 4, context=0).startswith("->%4 = ReduceSum")
