"""One byte string for one meaning: golden vectors, round trips, and whatever else bytes may be."""

import hashlib
import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.errors import ChainruleError, ErrorCode, InvalidGraph
from chainrule.ir.avals import BatchDim
from chainrule.ir.builder import Builder
from chainrule.ir.canonical import MAGIC, decode, digest, encode, normalise
from chainrule.ir.checker import check
from chainrule.ir.expr import Expr, cast, cos, expand, pad, reduce_sum, sin
from chainrule.ir.graph import Debug, Function, Graph
from golden.make_canonical import document
from support.random_graphs import random_function
from support.written import N, f4, f8, function, graph

GOLDEN = Path(__file__).parents[2] / "golden" / "canonical.json"


def _mean(x: Expr) -> dict[str, Expr]:
    summed = reduce_sum(x, (0, -1))
    return {"loss": summed / cast(Expr(x.b, x.b.add("DimSize")), x.dtype)}


def _gradient() -> Graph:
    sine = function({"args/0": f8()}, sin)
    b = Builder((sine,))
    x = b.input("args/0", f8())
    rows = b.add_multi("Vjp", x, b.constant(1.0), function=0, wrt=(0,), outs=(0,))
    return Graph((sine, b.finish(rows, ["value/out", "grad/args/0"])))


GRAPHS = {
    "sine": graph({"args/0": f8()}, sin),
    "mean": graph({"x": f4(N, 3)}, _mean),
    "gradient": _gradient(),
    "multiples of N": graph(
        {"x": f8(BatchDim(2))},
        lambda x: expand(pad(x, (N,), (BatchDim(-1),), (0,)), (300, BatchDim(2))),
    ),
}


def test_the_golden_file_is_what_its_generator_writes() -> None:
    assert GOLDEN.read_text() == document()


@pytest.mark.parametrize("name", GRAPHS)
def test_golden_vector(name: str) -> None:
    row = json.loads(GOLDEN.read_text())[name]
    assert encode(GRAPHS[name]).hex() == row["hex"]
    assert digest(GRAPHS[name]).hex() == row["sha256"]
    found = decode(bytes.fromhex(row["hex"]))
    check(found)
    assert encode(found).hex() == row["hex"]


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.integers(0, 10**9), st.booleans())
def test_a_graph_comes_back(seed: int, batched: bool) -> None:
    f = random_function(random.Random(seed), batched=batched)
    g = Graph((f,))
    found = decode(encode(g))
    check(found)
    for column in ("ops", "inputs", "attrs", "avals", "outputs", "output_names"):
        assert getattr(found.main, column) == getattr(f, column)


def test_names_of_functions_labels_and_lines_are_not_in_the_digest() -> None:
    g = GRAPHS["gradient"]
    renamed = tuple(
        Function("other", f.ops, f.inputs, f.attrs, f.avals, f.outputs, f.output_names)
        for f in g.functions
    )
    debug = tuple(Debug(("a",) * len(f), (f"m.py:{i}",) * len(f)) for i, f in enumerate(renamed))
    assert digest(Graph(renamed, debug)) == digest(g)


def test_what_is_in_the_digest() -> None:
    base = graph({"x": f8(3)}, sin)
    others = (
        graph({"y": f8(3)}, sin),
        graph({"x": f4(3)}, sin),
        graph({"x": f8(N)}, sin),
        graph({"x": f8(3)}, cos),
        graph({"x": f8(3)}, lambda x: {"result": sin(x)}),
        graph({"x": f8(3)}, lambda x: sin(sin(x))),
    )
    assert len({digest(g) for g in (base, *others)}) == 7


def test_functions_are_numbered_by_first_use_and_the_unused_left_out() -> None:
    a, b_, unused = (function({"x": f8()}, body) for body in (sin, cos, lambda x: x * 2.0))

    def main(functions: tuple[Function, ...], first: int, second: int) -> Graph:
        b = Builder(functions)
        x = b.input("x", f8())
        y = b.add("Call", b.add("Call", x, function=first), function=second)
        debug = tuple(Debug((f.ops[1],)) for f in functions)
        return Graph((*functions, b.finish([y], ["y"])), (*debug, Debug()))

    one = main((a, b_), 0, 1)
    other = main((unused, b_, a), 2, 1)
    check(other)
    assert encode(one) == encode(other)
    assert [f.ops[1] for f in normalise(other).functions] == ["Sin", "Cos", "Call"]
    assert [d.labels for d in normalise(other).debug] == [("Sin",), ("Cos",), ()]


@pytest.mark.parametrize("name", GRAPHS)
def test_every_truncation_is_refused(name: str) -> None:
    data = encode(GRAPHS[name])
    for size in range(len(data)):
        with pytest.raises(InvalidGraph):
            decode(data[:size])
    with pytest.raises(InvalidGraph, match="after the end"):
        decode(data + b"\0")


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(GRAPHS)), st.data())
def test_a_mutation_is_another_graph_or_refused(name: str, draw: st.DataObject) -> None:
    data = bytearray(encode(GRAPHS[name]))
    for _ in range(draw.draw(st.integers(1, 3))):
        at = draw.draw(st.integers(len(MAGIC), len(data) - 1))
        data[at] = draw.draw(st.integers(0, 255) | st.sampled_from((0, 1, 127, 128, 255)))
    try:
        found = decode(bytes(data))
        check(found)
    except ChainruleError as error:
        assert error.code is not ErrorCode.INTERNAL
        assert len(str(error)) < 2_000
        return
    assert (digest(found) == digest(GRAPHS[name])) == (bytes(data) == encode(GRAPHS[name]))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.binary(max_size=60))
def test_random_bytes_are_refused(tail: bytes) -> None:
    for data in (tail, MAGIC + tail, MAGIC + b"\1" + tail):
        with pytest.raises(ChainruleError):
            check(decode(data))


@pytest.mark.parametrize(
    ("tail", "code"),
    [
        (b"\x81\x00", ErrorCode.NON_CANONICAL),
        (b"\xff" * 200, ErrorCode.MALFORMED_MESSAGE),
        (b"\xff\xff\xff\xff\x0f", ErrorCode.MALFORMED_MESSAGE),
        (b"\x01\x01\x01\xff", ErrorCode.BAD_NAME),
        (b"\x00", ErrorCode.MALFORMED_MESSAGE),
    ],
)
def test_malformed_parts_have_a_code(tail: bytes, code: ErrorCode) -> None:
    with pytest.raises(InvalidGraph) as caught:
        decode(MAGIC + tail)
    assert caught.value.code is code


def test_the_digest_is_sha_256_of_the_bytes() -> None:
    g = GRAPHS["mean"]
    assert digest(g) == hashlib.sha256(encode(g)).digest()
