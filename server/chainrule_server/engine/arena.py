"""Offsets in one block of memory: best fit among the holes, lowest offset first."""

from bisect import bisect_left, insort

ALIGNMENT = 64


def aligned(nbytes: int) -> int:
    """The next multiple of a cache line."""
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


class Arena:
    """Hands out byte ranges of a block that grows as needed; `peak` is how large it has to be.

    Cost: two searches in sorted lists a call, however many holes there are.
    """

    def __init__(self) -> None:
        self.peak = 0
        # Never adjacent; the same holes in two orders, (offset, bytes) and (bytes, offset).
        self._by_offset: list[tuple[int, int]] = []
        self._by_size: list[tuple[int, int]] = []

    def take(self, nbytes: int) -> int:
        """The offset of a free range; the smallest hole that fits keeps large ones for large values."""
        need = max(aligned(nbytes), ALIGNMENT)
        at = bisect_left(self._by_size, (need, 0))
        if at < len(self._by_size):
            size, offset = self._by_size[at]
            self._close(offset, size)
            if size > need:
                self._open(offset + need, size - need)
            return offset
        # The last hole may reach the end of the block: grow from there.
        offset = self.peak
        if self._by_offset and sum(self._by_offset[-1]) == self.peak:
            offset, size = self._by_offset[-1]
            self._close(offset, size)
        self.peak = offset + need
        return offset

    def give(self, offset: int, nbytes: int) -> None:
        """The range is free again; merged with the holes beside it."""
        size = max(aligned(nbytes), ALIGNMENT)
        at = bisect_left(self._by_offset, (offset, size))
        behind = self._by_offset[at : at + 1]
        before = self._by_offset[at - 1 : at] if at else []
        for start, length in behind:
            if start == offset + size:
                self._close(start, length)
                size += length
        for start, length in before:
            if start + length == offset:
                self._close(start, length)
                offset, size = start, length + size
        self._open(offset, size)

    def _open(self, offset: int, size: int) -> None:
        insort(self._by_offset, (offset, size))
        insort(self._by_size, (size, offset))

    def _close(self, offset: int, size: int) -> None:
        del self._by_offset[bisect_left(self._by_offset, (offset, size))]
        del self._by_size[bisect_left(self._by_size, (size, offset))]
