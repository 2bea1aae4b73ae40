"""How many examples a microshard takes: a rule shipped with the release, since it moves bits.

It looks at the graph's cost and at the size of the batch, never at the machine, the pool or a clock. Measured
on the benchmarks W1 and W2 (2 cores): shards of fewer than 64 rows lose a third of a product's speed, more
than 512 leave the cache, and a batch should give four shards, so that two workers share it evenly.
"""

from dataclasses import dataclass

# A shard should take 1 ms at least, ten times what it costs to deal it out.
_SHARD_FLOPS = 100_000_000
_LEAST, _MOST = 64, 512
_SHARDS = 4


@dataclass(frozen=True, slots=True)
class Rows:
    """Bounds of a microshard's rows; equal where the request fixes them."""

    least: int
    most: int

    def at(self, n: int) -> int:
        """Rows for a batch of n: a quarter of it, rounded up to a power of two, within the bounds."""
        quarter = -(-n // _SHARDS)
        return min(self.most, max(self.least, 1 << (quarter - 1).bit_length()))


def rows_for(flops_per_example: int) -> Rows:
    """The bounds from the cost of one example."""
    least = _LEAST
    while least < _MOST and least * flops_per_example < _SHARD_FLOPS:
        least *= 2
    return Rows(least, _MOST)
