"""Columns and rows of a function."""

from chainrule.ir.builder import Builder
from chainrule.ir.graph import Debug, Graph, Node
from support.written import f8, i8


def _graph() -> Graph:
    b = Builder()
    x = b.input("x", f8(2))
    b.input("k", i8())
    y = b.add("Sin", x)
    return Graph((b.finish([y, x, y], ["a", "b", "c"], "f"),), (b.debug(),))


def test_a_function_reads_as_rows() -> None:
    f = _graph().main
    assert len(f) == 3
    assert list(f)[2] == f.node(2) == Node(2, "Sin", (0,), (), f8(2))
    assert f.node(1).attr("name") == "k"


def test_signature() -> None:
    f = _graph().main
    assert (f.n_inputs, f.input_names, f.in_avals) == (2, ("x", "k"), (f8(2), i8()))
    assert (f.output_names, f.out_avals) == (("a", "b", "c"), (f8(2),) * 3)


def test_a_function_of_inputs_alone() -> None:
    b = Builder()
    f = b.finish([b.input("x", f8())], ["x"])
    assert f.n_inputs == len(f) == 1


def test_debug_is_beside_the_graph() -> None:
    g = _graph()
    assert g == Graph(g.functions)
    assert (g.n_nodes, g.debug_of(0).labels, g.debug_of(5)) == (3, ("", "", ""), Debug())
    debug = Debug(("h",), ("m.py:1",))
    assert (debug.label(0), debug.line(0), debug.label(1), debug.line(9)) == (
        "h",
        "m.py:1",
        None,
        None,
    )
