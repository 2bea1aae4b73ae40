"""Boards: reused, bounded in bytes, refused rather than overcommitted."""

from collections.abc import Iterator

import pytest

from chainrule.errors import ErrorCode, Overloaded
from chainrule_server.workers.boards import Boards, rounded
from chainrule_server.workers.pool import Pool

MIB = 1 << 20


@pytest.fixture
def boards() -> Iterator[Boards]:
    pool = Pool(1)  # never started: only its ids are needed
    boards = Boards(pool, 4 * MIB)
    yield boards
    boards.close()
    assert boards.total_bytes == 0
    pool.close()


@pytest.mark.parametrize("nbytes", [1, 64 * 1024, 65537, 100_000, MIB, MIB + 1, 10**9])
def test_sizes_are_few_and_at_most_an_eighth_too_large(nbytes: int) -> None:
    size = rounded(nbytes)
    assert size >= nbytes
    assert size == 64 * 1024 or size <= nbytes * 1.125 + 1
    assert rounded(size) == size


def test_a_board_comes_back_to_the_next_who_needs_its_size(boards: Boards) -> None:
    with boards.lend(MIB) as first:
        with boards.lend(MIB) as second:
            assert second.resource.id != first.resource.id
        with boards.lend(MIB - 1) as third:
            assert third is second
    assert boards.total_bytes == 2 * MIB


def test_the_least_recently_used_goes_for_another_size(boards: Boards) -> None:
    with boards.lend(MIB) as old, boards.lend(2 * MIB) as recent:
        pass
    with boards.lend(2 * MIB):
        pass
    with boards.lend(MIB + MIB // 2):
        assert old.region.fd == -1
        with boards.lend(2 * MIB) as again:
            assert again is recent
    assert boards.total_bytes == 3 * MIB + MIB // 2


def test_beyond_the_bound_is_refused_with_the_numbers(boards: Boards) -> None:
    with boards.lend(3 * MIB):
        with pytest.raises(Overloaded) as caught, boards.lend(2 * MIB):
            pass
        assert caught.value.code is ErrorCode.OVERLOADED
        assert caught.value.facts == {"limit": 4 * MIB, "value": 2 * MIB}
    with boards.lend(4 * MIB):
        assert boards.total_bytes == 4 * MIB


def test_a_board_comes_back_from_a_run_that_failed(boards: Boards) -> None:
    with pytest.raises(KeyError), boards.lend(4 * MIB):
        raise KeyError("of the run")
    with boards.lend(4 * MIB):
        pass
