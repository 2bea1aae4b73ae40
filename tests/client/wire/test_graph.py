"""Graphs through their messages, and damaged ones refused by their code."""

import pytest

from chainrule.errors import ChainruleError, ErrorCode
from chainrule.ir import canonical
from chainrule.ir.avals import Aval, BatchDim, DType
from chainrule.ir.builder import Builder
from chainrule.ir.checker import check
from chainrule.ir.graph import Graph
from chainrule.proto.v1 import graph_pb2 as pb
from chainrule.wire.graph import (
    debug_from_proto,
    debug_to_proto,
    graph_from_proto,
    graph_to_proto,
)
from support.sample_graphs import article, bomb, mean_square


def every_attribute() -> Graph:
    """One row a kind of attribute, k*N among them, and values that Python takes for equal."""
    b = Builder()
    x = b.input("x", Aval(DType.FLOAT64, (BatchDim(2), 4)))
    outs = [
        b.add("ReduceSum", x, axes=(1,), keepdims=True),
        b.add("ReduceSum", x, axes=(1,), keepdims=False),
        b.add("Reshape", x, shape=(BatchDim(4), 2)),
        b.add("Cast", x, dtype=DType.FLOAT32),
        b.add("Iota", dtype=DType.INT64, shape=(BatchDim(1),), axis=0),
        b.add("IntPow", x, n=1),
        b.add("IntPow", x, n=-3),
    ]
    return Graph((b.finish(outs, [f"o{i}" for i in range(len(outs))], "main"),), (b.debug(),))


@pytest.mark.parametrize("graph", [article(), mean_square(), bomb(), every_attribute()])
def test_a_graph_comes_back_equal_with_the_same_digest(graph: Graph) -> None:
    data = graph_to_proto(graph).SerializeToString()
    back = graph_from_proto(pb.Graph.FromString(data), debug_to_proto(graph))
    assert back == graph
    assert back.debug == graph.debug
    assert canonical.digest(back) == canonical.digest(graph)
    check(back)


def test_equal_graphs_give_equal_bytes() -> None:
    assert graph_to_proto(article()) == graph_to_proto(article())


def test_attributes_left_out_take_their_defaults() -> None:
    message = graph_to_proto(every_attribute())
    keepdims = list(message.strings).index("keepdims")
    for entry in message.attribute_sets:
        kept = [a for a in entry.attributes if not (a.name == keepdims and not a.bool_value)]
        del entry.attributes[:]
        entry.attributes.extend(kept)
    assert graph_from_proto(message) == every_attribute()


def damaged(change: str) -> pb.Graph:
    message = graph_to_proto(article())
    function = message.functions[0]
    match change:
        case "version":
            message.format_version = 2
        case "op index":
            function.ops[1] = 99
        case "aval index":
            function.avals[1] = 99
        case "attribute index":
            function.attribute_sets[1] = 99
        case "forward reference":
            function.inputs[0] = 5
        case "self reference":
            function.inputs[-1] = len(function.ops) - 1
        case "arity":
            function.arities[2] += 1
        case "short column":
            del function.avals[-1]
        case "output":
            function.outputs[0] = 10**6
        case "output name":
            function.output_names[0] = 99
        case "unknown op":
            message.strings[function.ops[1]] = "__class__"
        case "dtype":
            message.avals[0].dtype = 30  # type: ignore[assignment]  # an enum of a newer sender
        case "huge dim":
            message.avals[0].shape.values.append(2**62)
        case "batch axis":
            message.avals[0].shape.batch_axes.append(3)
        case "no attribute value":
            message.attribute_sets[0].attributes[0].ClearField("string_value")
        case "attribute order":
            entry = message.attribute_sets[0]
            entry.attributes.append(entry.attributes[0])
    return message


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("version", ErrorCode.UNSUPPORTED_VERSION),
        ("op index", ErrorCode.BAD_REF),
        ("aval index", ErrorCode.BAD_REF),
        ("attribute index", ErrorCode.BAD_REF),
        ("forward reference", ErrorCode.BAD_REF),
        ("self reference", ErrorCode.BAD_REF),
        ("arity", ErrorCode.BAD_REF),
        ("short column", ErrorCode.BAD_REF),
        ("output", ErrorCode.BAD_REF),
        ("output name", ErrorCode.BAD_REF),
        ("unknown op", ErrorCode.UNKNOWN_OP),
        ("dtype", ErrorCode.BAD_DTYPE),
        ("huge dim", ErrorCode.BAD_DIM),
        ("batch axis", ErrorCode.BAD_DIM),
        ("no attribute value", ErrorCode.MISSING_FIELD),
        ("attribute order", ErrorCode.NON_CANONICAL),
    ],
)
def test_a_damaged_graph_is_refused_by_its_code(change: str, code: ErrorCode) -> None:
    with pytest.raises(ChainruleError) as refusal:
        check(graph_from_proto(damaged(change)))
    assert refusal.value.code is code
    assert refusal.value.cure or refusal.value.node is not None


def test_debug_keeps_base_names_and_drops_paths() -> None:
    message = debug_to_proto(article())
    for i, text in enumerate(message.strings):
        if text == "article.py":
            message.strings[i] = "/home/somebody/secret/article.py"
    lines = debug_from_proto(message)[0].lines
    assert "article.py:4" in lines
    assert not any("secret" in line for line in lines)


@pytest.mark.parametrize("text", ["a\nb", "\u202egnp", "x" * 300, "\0"])
def test_debug_text_that_could_confuse_a_terminal_is_refused(text: str) -> None:
    message = debug_to_proto(article())
    message.strings[1] = text
    with pytest.raises(ChainruleError) as refusal:
        debug_from_proto(message)
    assert refusal.value.code is ErrorCode.BAD_NAME
