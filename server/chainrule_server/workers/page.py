"""The page that a worker shares with the supervisor: how far it is, and why it failed.

A worker that hangs or dies can't send anything; what it wrote here stays readable.
"""

from chainrule_server.workers.failures import MAX_RECORD_BYTES

PAGE_BYTES = 4096 + MAX_RECORD_BYTES
_PROGRESS, _RUNNING = 0, 1
_ERROR_AT = 4096


class Page:
    """A view of the page, the same on both sides.

    Attributes:
        progress: counts the plan nodes begun; a hang is a count that stands still.
        running: the dispatch number of the task being run, 0 when idle.
    """

    __slots__ = ("_view", "_words")

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._words = view[:64].cast("Q")

    @property
    def progress(self) -> int:
        return self._words[_PROGRESS]

    def bump(self) -> None:
        """One more plan node begun."""
        self._words[_PROGRESS] = (self._words[_PROGRESS] + 1) & 0xFFFF_FFFF_FFFF_FFFF

    @property
    def running(self) -> int:
        return self._words[_RUNNING]

    @running.setter
    def running(self, dispatch: int) -> None:
        self._words[_RUNNING] = dispatch

    def write_error(self, record: bytes) -> int:
        """Leave a record of at most MAX_RECORD_BYTES; returns its size."""
        self._view[_ERROR_AT : _ERROR_AT + len(record)] = record
        return len(record)

    def read_error(self, nbytes: int) -> bytes:
        """A copy of the record, as the writer may go on writing."""
        return bytes(self._view[_ERROR_AT : _ERROR_AT + min(nbytes, MAX_RECORD_BYTES)])
