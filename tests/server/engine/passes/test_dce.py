"""Rows that no output needs are left out; inputs stay."""

from chainrule.ir.builder import Builder
from chainrule.ir.printer import function_text
from chainrule_server.engine.passes.dce import eliminate
from support.written import f8


def test_dead_rows_go_and_labels_follow_their_rows() -> None:
    b = Builder()
    x, y = b.input("x", f8()), b.input("y", f8())
    b.label = "dead"
    b.add("Sin", y)
    b.label, b.line = "live", "f.py:2"
    c = b.add("Cos", x)
    f, debug = eliminate(b.finish([c, x], ["c", "x"]), b.debug())
    assert function_text(f, debug) == (
        "function 0 main {\n"
        "  %0 = Input [name='x'] : float64[]\n"
        "  %1 = Input [name='y'] : float64[]\n"
        "  %2 = Cos %0 : float64[]   # live, f.py:2\n"
        "  return c = %2, x = %0\n}"
    )


def test_a_function_without_dead_rows_is_given_back() -> None:
    b = Builder()
    f = b.finish([b.add("Sin", b.input("x", f8()))], ["y"])
    debug = b.debug()
    assert eliminate(f, debug) == (f, debug)
    assert eliminate(f, debug)[0] is f
