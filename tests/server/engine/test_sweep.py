"""A linear function at many seeds: in lanes, in chunks of lanes, and one by one where lanes can't be."""

import numpy as np
import pytest

from chainrule.errors import Unsupported
from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr, reduce_sum
from chainrule_server.engine import sweep as sweeping
from chainrule_server.engine.compiler import compile_flat
from chainrule_server.engine.flat import Flat, finish
from chainrule_server.engine.structure import flatten
from chainrule_server.engine.sweep import Seeds, given, measured, sweep, units
from support.engine_run import run
from support.written import Array, f8, graph

A = np.arange(12.0).reshape(4, 3)
S = np.arange(21.0).reshape(7, 3)


def product(a: Expr, s: Expr) -> Expr:
    return reduce_sum(a * s, (1,))


LINEAR = flatten(graph({"residual/0": f8(4, 3), "s": f8(3)}, product))


def swept(by: str, count: int) -> Flat:
    b = Builder()
    a, s = b.input("a", f8(4, 3)), b.input("s", f8(count, 3))
    seeds: Seeds = units(b, [f8(3)]) if by == "units" else given([Expr(b, s)], count)
    return finish(b, [e.id for e in sweep(b, LINEAR, [a], seeds)], ["out"], "main")


def found(flat: Flat, count: int) -> Array:
    return run(compile_flat(flat), 1, {"a": A, "s": S[:count]})["out"]


@pytest.mark.parametrize("chunk_bytes", [2**25, 400, 1])
def test_chunks_of_any_size_give_the_same(
    chunk_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "_CHUNK_BYTES", chunk_bytes)
    np.testing.assert_allclose(found(swept("units", 1), 1), A.T, rtol=1e-15)
    np.testing.assert_allclose(found(swept("given", 7), 7), S @ A.T, rtol=1e-14)


def test_what_takes_no_lanes_goes_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> Flat:
        raise Unsupported("no lanes")

    monkeypatch.setattr(sweeping, "vmap", never)
    flat = swept("given", 7)
    np.testing.assert_allclose(found(flat, 7), S @ A.T, rtol=1e-14)
    assert "Scan" in flat.function.ops


def test_no_seeds_give_no_rows() -> None:
    assert found(swept("given", 0), 0).shape == (0, 4)


def test_nodes_do_not_grow_with_the_seeds_and_memory_stays_bounded() -> None:
    assert len(swept("given", 8).function) == len(swept("given", 1000).function)
    wide = flatten(graph({"a": f8(1000, 500), "s": f8(500)}, lambda a, s: a * s))
    b = Builder()
    a = b.input("a", f8(1000, 500))
    out = sweep(b, wide, [a], units(b, [f8(500)]))
    flat = finish(b, [e.id for e in out], ["out"], "main")
    # The answer is 500 x 4 MB; it is copied once, and beside it there are a few chunks.
    answer = 500 * measured(wide).function.out_avals[0].nbytes
    assert measured(flat).scratch_bytes < 1.01 * answer + 4 * sweeping._CHUNK_BYTES
