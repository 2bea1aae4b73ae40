"""Random bits: a pure function of key, stream and counter, however the counters lie."""

import numpy as np
import pytest

from support import references
from support.op_checks import Array, apply_kernel

KEY = np.array([0xA4093822, 0x299F31D0], np.uint32)


def bits(counter: Array, stream: int = 0, key: Array = KEY) -> Array:
    out = np.empty(counter.shape, np.uint32)
    return apply_kernel("RandomBits", [key, counter], {"stream": stream}, out)


@pytest.mark.parametrize("first", [0, 1, 2, 3, 4, 2**34 - 3, -6])
@pytest.mark.parametrize("n", [1, 2, 5, 8, 33])
def test_a_run_of_counters_from_anywhere(first: int, n: int) -> None:
    counter = np.arange(first, first + n)
    np.testing.assert_array_equal(bits(counter, 3), references.random_bits(KEY, counter, stream=3))


def test_counters_in_any_order_give_the_same_words() -> None:
    counter = np.arange(1000)
    order = np.random.default_rng(5).permutation(1000)
    np.testing.assert_array_equal(bits(counter)[order], bits(counter[order]))
    np.testing.assert_array_equal(bits(counter)[::-1], bits(counter[::-1]))
    np.testing.assert_array_equal(bits(np.zeros(9, np.int64)), np.full(9, bits(counter)[0]))


def test_a_run_longer_than_a_chunk_is_its_parts() -> None:
    counter = np.arange(7, 40_007)
    whole = bits(counter)
    parts = [bits(counter[at : at + 999]) for at in range(0, 40_000, 999)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))


def test_key_and_stream_change_every_word() -> None:
    counter = np.arange(64)
    others = (bits(counter, 1), bits(counter, 0, np.array([1, 2], np.uint32)))
    for other in others:
        assert np.mean(other == bits(counter)) < 0.1


def test_the_bits_look_uniform() -> None:
    words = bits(np.arange(200_000))
    share = np.unpackbits(words.view(np.uint8)).mean()
    assert abs(share - 0.5) < 5 * 0.5 / np.sqrt(32 * 200_000)
    counts = np.bincount(words >> 24, minlength=256)
    assert abs(counts - 200_000 / 256).max() < 6 * np.sqrt(200_000 / 256)
