"""A part of a function as a function of its own."""

from chainrule.ir.avals import BatchDim
from chainrule.ir.expr import reduce_sum, sin
from chainrule.ir.graph import Debug
from chainrule.ir.printer import function_text
from chainrule_server.engine.extract import extract
from chainrule_server.engine.flat import Flat
from support.losses import iota, n_of
from support.written import N, f8, function


def test_stops_become_inputs_and_what_is_not_needed_stays_behind() -> None:
    f = function(
        {"w": f8(3), "x": f8(N, 3)},
        lambda w, x: {"a": reduce_sum(sin(x) * w, (0,)), "b": reduce_sum(x, (0,))},
    )
    debug = Debug(("", "", "h", ""), ("", "", "m.py:1", ""))
    part = extract(Flat(f, debug), [f.outputs[0]], ["~4"], {2: "~2"}, "part")
    assert function_text(part.function) == (
        "function 0 part {\n"
        "  %0 = Input [name='w'] : float64[3]\n"
        "  %1 = Input [name='~2'] : float64[N,3]\n"
        "  %2 = Mul %1 %0 : float64[N,3]\n"
        "  %3 = ReduceSum %2 [axes=(0), keepdims=False] : float64[3]\n"
        "  return ~4 = %3\n"
        "}"
    )


def test_the_batch_and_the_first_example_come_from_outside() -> None:
    f = function({"x": f8(BatchDim(2))}, lambda x: x * iota(x, BatchDim(2), axis=-1) / n_of(x))
    part = extract(Flat(f, Debug()), list(f.outputs), ["out"], {}, "part").function
    assert part.input_names == ("x", "$n", "$offset")
    assert "DimSize" not in part.ops
    text = function_text(part)
    assert "Constant [data=0200000000000000, dtype=int64, shape=()]" in text


def test_an_index_along_another_axis_needs_no_offset() -> None:
    f = function({"x": f8(N, 3)}, lambda x: x * iota(x, N, 3, axis=1))
    part = extract(Flat(f, Debug()), list(f.outputs), ["out"], {}, "part").function
    assert part.input_names == ("x",)


def test_a_target_may_be_an_input_or_a_stop() -> None:
    f = function({"x": f8(N)}, lambda x: {"x": x, "y": sin(x)})
    part = extract(Flat(f, Debug()), [0, 1], ["a", "b"], {1: "~1"}, "part").function
    assert (part.input_names, part.outputs) == (("x", "~1"), (0, 1))
