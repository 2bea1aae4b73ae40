"""Rows of a microshard: a function of graph and batch, within bounds."""

import pytest

from chainrule_server.engine.sharding import Rows, rows_for


@pytest.mark.parametrize("flops", [0, 1, 10**5, 10**7, 10**12])
def test_bounds_are_powers_of_two_between_64_and_512(flops: int) -> None:
    rows = rows_for(flops)
    assert 64 <= rows.least <= rows.most == 512
    assert rows.least & (rows.least - 1) == 0


def test_cheap_examples_make_larger_microshards() -> None:
    least = [rows_for(flops).least for flops in (1, 10**5, 10**6, 10**7)]
    assert least == sorted(least, reverse=True)


@pytest.mark.parametrize("n", [1, 64, 255, 256, 257, 1024, 5000, 10**6])
def test_a_batch_gives_four_shards_where_the_bounds_allow(n: int) -> None:
    rows = Rows(64, 512).at(n)
    assert rows in (64, 128, 256, 512)
    if 256 <= n <= 2048:
        assert 2 <= -(-n // rows) <= 4


def test_a_request_may_fix_them() -> None:
    assert {Rows(7, 7).at(n) for n in (1, 10, 10**6)} == {7}
