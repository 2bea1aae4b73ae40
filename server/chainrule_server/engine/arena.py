"""Offsets in one block of memory: first fit among the holes, lowest offset first."""

from bisect import bisect_left, insort

ALIGNMENT = 64


def aligned(nbytes: int) -> int:
    """The next multiple of a cache line."""
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


class Arena:
    """Hands out byte ranges of a block that grows as needed; `peak` is how large it has to be."""

    def __init__(self) -> None:
        self.peak = 0
        self._holes: list[tuple[int, int]] = []  # (offset, bytes), sorted, never adjacent

    def take(self, nbytes: int) -> int:
        """The offset of a free range; the smallest hole that fits keeps large ones for large values."""
        need = max(aligned(nbytes), ALIGNMENT)
        fits = [(size, offset) for offset, size in self._holes if size >= need]
        if fits:
            size, offset = min(fits)
            self._holes.remove((offset, size))
            if size > need:
                insort(self._holes, (offset + need, size - need))
            return offset
        # The last hole may reach the end of the block: grow from there.
        if self._holes and sum(self._holes[-1]) == self.peak:
            offset, _ = self._holes.pop()
        else:
            offset = self.peak
        self.peak = offset + need
        return offset

    def give(self, offset: int, nbytes: int) -> None:
        """The range is free again; merged with the holes beside it."""
        size = max(aligned(nbytes), ALIGNMENT)
        at = bisect_left(self._holes, (offset, size))
        if at < len(self._holes) and offset + size == self._holes[at][0]:
            size += self._holes.pop(at)[1]
        if at and sum(self._holes[at - 1]) == offset:
            before, length = self._holes.pop(at - 1)
            offset, size = before, length + size
        insort(self._holes, (offset, size))
