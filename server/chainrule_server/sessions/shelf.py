"""The sessions with open files: as many as there is room for, the longest unused leaving first."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from chainrule_server.sessions.session import Session

Key = tuple[str, bytes]


@dataclass(slots=True)
class _Slot:
    """A session that is open or being opened; `users` calls are inside."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    session: Session | None = None
    users: int = 0


class Shelf:
    """Open sessions by tenant and id. Thread-safe.

    Args:
        limit: sessions that stay open while nobody uses them. What is in use, or lives in memory only,
            stays beyond it.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._slots: OrderedDict[Key, _Slot] = OrderedDict()

    def put(self, key: Key, session: Session) -> None:
        """A session that has just been made."""
        with self._lock:
            self._slots[key] = _Slot(session=session)

    @contextmanager
    def use(self, key: Key, load: Callable[[], Session]) -> Iterator[Session]:
        """The session, found by `load` where it isn't open; it stays open inside the block."""
        with self._lock:
            slot = self._slots.setdefault(key, _Slot())
            self._slots.move_to_end(key)
            slot.users += 1
        try:
            with slot.lock:
                if slot.session is None:
                    slot.session = load()
                session = slot.session
            yield session
        finally:
            self._leave(slot)

    def peek(self, key: Key) -> Session | None:
        """The session where it is open."""
        with self._lock:
            slot = self._slots.get(key)
            return slot.session if slot is not None else None

    def sessions(self) -> tuple[Session, ...]:
        """All that are open."""
        with self._lock:
            return tuple(s.session for s in self._slots.values() if s.session is not None)

    def clear(self) -> None:
        """Close them all; nobody uses one any more."""
        with self._lock:
            leaving = [slot.session for slot in self._slots.values()]
            self._slots.clear()
        _close(leaving)

    def _leave(self, slot: _Slot) -> None:
        leaving = []
        with self._lock:
            slot.users -= 1
            excess = len(self._slots) - self._limit
            for key, old in list(self._slots.items()):
                if old.users or (old.session is not None and not old.session.is_evictable):
                    continue
                if excess > 0 or old.session is None or old.session.is_closed:
                    del self._slots[key]
                    leaving.append(old.session)
                    excess -= 1
        _close(leaving)


def _close(sessions: list[Session | None]) -> None:
    for session in sessions:
        if session is not None:
            session.close()
