"""`trace`: names of inputs and outputs, static arguments, captured arrays, identity, debug lines."""

import hashlib
from collections import namedtuple
from types import FunctionType
from typing import Any

import numpy as np
import pytest

from chainrule.errors import TraceError
from chainrule.ir.avals import BatchDim, DType
from chainrule.ir.tensors import tensor_digest
from chainrule.tracing import Tracer, spec, trace
from support.evaluator import run
from support.traced import line_of, numbers, refusal

X = numbers(3, 4)
Pair = namedtuple("Pair", "w b")


def test_leaves_are_named_by_their_path() -> None:
    params = {"enc": [X, (X[0], X[1])], "a/b": X}
    graph = trace(lambda p, y: {"s": p["a/b"] + y, "t": [p["enc"][0], p["enc"][1][0]]}, params, 2.0)
    assert graph.in_names == (
        "args/0/a%2Fb",
        "args/0/enc/[0]",
        "args/0/enc/[1]/(0)",
        "args/0/enc/[1]/(1)",
        "args/1",
    )
    assert graph.out_names == ("out/s", "out/t/[0]", "out/t/[1]")
    result = run(graph, params, 2.0)
    np.testing.assert_array_equal(result["s"], X + 2)
    assert isinstance(result["t"], list)


def test_session_names_are_given_by_the_caller() -> None:
    def loss(params: Any, x: Any, y: Any) -> Any:
        e = x @ params["w"] - y
        return np.mean(e**2), {"mae": np.mean(np.abs(e))}

    names = ("params", "batch/0", "batch/1")
    args = {"w": numbers(4)}, numbers(6, 4), numbers(6)
    graph = trace(loss, *args, batch=(1, 2), inputs=names, outputs=("loss", "metrics"))
    assert graph.in_names == ("params/w", "batch/0", "batch/1")
    assert graph.out_names == ("loss", "metrics/mae")
    assert graph.out_prefixes == ("loss", "metrics")
    value, metrics = run(graph, *args)
    assert value.shape == metrics["mae"].shape == ()


def test_parts_of_a_result() -> None:
    alone = trace(lambda x: x.sum(), X, outputs=("loss", "metrics"))
    assert alone.out_names == ("loss",)
    aux = trace(lambda x: (x.sum(), [x]), X, outputs=("out", "aux"))
    assert aux.out_names == ("out", "aux/[0]")
    error = refusal(lambda x: (x, x, x), X, outputs=("out", "aux"))
    assert "returns 3 values, 2 are expected" in str(error)
    assert "returns nothing" in str(refusal(lambda x: None, X))


def test_static_arguments_reach_the_function_as_they_are() -> None:
    seen: list[Any] = []

    def f(x: Any, mode: Any, act: Any, flag: Any, none: Any, config: Any, *, scale: Any) -> Any:
        seen.extend([mode, act, flag, none, config["kind"]])
        return act(x) * scale

    args = (X, "sum", np.tanh, True, None, {"kind": "a", "w": X})
    graph = trace(f, *args, kwargs={"scale": 2.0})
    assert seen == ["sum", np.tanh, True, None, "a"]
    assert graph.in_names == ("args/0", "args/5/w", "kwargs/scale")
    np.testing.assert_allclose(run(graph, *args, kwargs={"scale": 2.0}), np.tanh(X) * 2)


def test_named_tuples_keep_their_class_inside() -> None:
    def f(pair: Any) -> Any:
        assert isinstance(pair, Pair)
        return pair.w @ pair.b

    graph = trace(f, Pair(X, X[0]))
    np.testing.assert_allclose(run(graph, Pair(X, X[0])), X @ X[0])


def test_numbers_and_array_likes_are_arguments() -> None:
    graph = trace(lambda a, b, c: a + b + c, 1.5, 2, [1.0, 2.0][0])
    assert [a.dtype for a in graph.in_avals.values()] == [DType.FLOAT64, DType.INT64, DType.FLOAT64]
    assert float(run(graph, 1.5, 2, 1.0)) == 4.5


@pytest.mark.parametrize("leaf", [object(), np.array(["a"], object), np.ones(2, np.complex128)])
def test_what_is_no_array_is_refused(leaf: Any) -> None:
    error = refusal(lambda x: 1.0, {"leaf": leaf})
    assert error.cure


def test_small_captures_are_constants_and_filled_ones_one_element() -> None:
    small, filled = numbers(8, 16), np.full((300, 300), 2.5)
    graph = trace(lambda x: (x * small, filled * 1.0 * x.sum()), numbers(8, 16))
    assert not graph.captures
    data = [dict(n.attrs)["data"] for n in graph.graph.main if n.op == "Constant"]
    assert sorted(len(d) for d in data if isinstance(d, bytes)) == [8, 8 * 16 * 8]


def test_captures_above_1_kib_are_inputs_bound_by_digest() -> None:
    table = numbers(20, 10)
    graph = trace(lambda x: x @ table + (x @ table) * table[0], numbers(3, 20))
    name = f"capture/{tensor_digest(table).hex()}"
    assert list(graph.captures) == [name]
    assert graph.graph.main.input_names == ("args/0", name)
    assert graph.in_names == ("args/0",)
    x = numbers(3, 20)
    np.testing.assert_allclose(run(graph, x), x @ table + x @ table * table[0])


def test_a_closure_of_100_mb_is_kept_once_and_not_copied() -> None:
    big = np.zeros((12_500, 1000))
    big[0, 0] = 1.0

    def f(x: Any) -> Any:
        return np.mean((x @ big) ** 2) + np.sum(x @ big) / len(x)

    graph = trace(f, spec((1, 12_500), batch_axis=0))
    (array,) = graph.captures.values()
    assert array is big
    assert len(graph.to_bytes()) < 2000


def test_a_capture_written_to_during_the_trace_is_read_at_each_use() -> None:
    def f(x: Any) -> Any:
        buffer = np.arange(500.0)
        first = x * buffer
        buffer[:] = buffer[::-1].copy()
        return first, x * buffer

    graph = trace(f, 2.0)
    assert len(graph.captures) == 2
    first, second = run(graph, 2.0)
    assert (first[-1], second[-1]) == (998.0, 0.0)


def test_float32_captures_take_the_dtype_they_are_used_in() -> None:
    table = numbers(40, 40).astype(np.float32)
    graph = trace(lambda x: x @ table, numbers(2, 40))
    (aval,) = [a for n, a in graph.in_avals.items() if n.startswith("capture/")]
    assert aval.dtype is DType.FLOAT64


def shared(w: Any, x: Any) -> Any:
    return np.tanh(x @ w).sum()


def test_the_digest_does_not_depend_on_lines_and_names() -> None:
    source = "def {name}({w}, {x}):\n    {h} = np.tanh({x} @ {w})\n    return {h}.sum()\n"
    digests = set()
    for lead, names in (("", "f w x h"), ("\n\n\n", "model weights inputs hidden")):
        name, w, x, h = names.split()
        space: dict[str, Any] = {"np": np}
        code = compile(lead + source.format(name=name, w=w, x=x, h=h), f"{name}.py", "exec")
        FunctionType(code, space)()
        digests.add(trace(space[name], X.T, X).digest)
    digests.add(trace(shared, X.T, X).digest)
    assert len(digests) == 1


def test_other_constants_dtypes_and_batches_have_other_digests() -> None:
    graphs = [
        trace(lambda x: x * 2.0, X),
        trace(lambda x: x * 3.0, X),
        trace(lambda x: x * 2.0, X.astype(np.float32)),
        trace(lambda x: x * 2.0, X, batch=0),
        trace(lambda x: x + 2.0, X),
    ]
    assert len({g.digest for g in graphs}) == len(graphs)
    assert all(g.digest == hashlib.sha256(g.to_bytes()).hexdigest() for g in graphs)


def test_every_row_knows_its_line_and_assigned_name() -> None:
    def f(x: Any) -> Any:
        h = np.tanh(x)
        z = h @ h.T
        return z.sum()

    graph = trace(f, X)
    debug = graph.graph.debug[-1]
    by_op = {op: (debug.label(i), debug.line(i)) for i, op in enumerate(graph.graph.main.ops)}
    assert by_op["Tanh"] == ("h", line_of(f))
    assert by_op["MatMul"] == ("z", line_of(f, 2))
    assert by_op["ReduceSum"] == (None, line_of(f, 3))


def test_dead_code_is_not_in_the_graph() -> None:
    graph = trace(lambda x: (np.exp(x), x * 2)[1], X)
    assert "Exp" not in graph.graph.main.ops


def test_equal_rows_are_one() -> None:
    graph = trace(lambda x: np.exp(x) + np.exp(x), X)
    assert graph.graph.main.ops.count("Exp") == 1


def test_a_constant_result_and_an_argument_as_result() -> None:
    graph = trace(lambda x: (x, 1.5, np.arange(3)), X)
    x, number, array = run(graph, X)
    np.testing.assert_array_equal(x, X)
    assert (float(number), array.tolist()) == (1.5, [0, 1, 2])


def test_specs_stand_for_arrays() -> None:
    graph = trace(lambda x: x * 2, spec((None, 3), np.float32, batch_axis=0))
    assert graph.out_avals["out"].shape == (BatchDim(), 3)
    with pytest.raises(Exception, match="only the batch axis may be None"):
        spec((None, 3))
    with pytest.raises(Exception, match="batch_axis 2"):
        spec((None, 3), batch_axis=2)


def test_an_error_of_the_function_itself_passes_through() -> None:
    def f(x: Any) -> Any:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        trace(f, X)
    assert isinstance(refusal(lambda x: x.nonzero(), X), TraceError)


def test_traces_inside_traces_are_apart() -> None:
    inner: list[Any] = []

    def f(x: Any) -> Any:
        inner.append(trace(lambda y: y * 3, X))
        assert isinstance(x, Tracer)
        return x * 2

    outer = trace(f, X)
    np.testing.assert_allclose(run(outer, X), X * 2)
    np.testing.assert_allclose(run(inner[0], X), X * 3)
