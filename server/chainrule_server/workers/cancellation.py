"""A wish to stop that comes from another thread."""

import threading
from collections.abc import Callable


class Cancellation:
    """Set once, by anybody; tells those who asked to be told. Thread-safe.

    cancel = Cancellation()
    context.add_callback(cancel.set)          # a gRPC call that ends
    coordinator.run(..., cancel=cancel)
    """

    __slots__ = ("_callbacks", "_is_set", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_set = False
        self._callbacks: dict[int, Callable[[], None]] = {}

    @property
    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        """Ask to stop. Callbacks run once, in this thread."""
        with self._lock:
            self._is_set = True
            callbacks = tuple(self._callbacks.values())
            self._callbacks.clear()
        for callback in callbacks:
            callback()

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have `callback` called on `set`, at once if it was; returns how to take it back."""
        with self._lock:
            if not self._is_set:
                key = id(callback)
                self._callbacks[key] = callback
                return lambda: self._forget(key)
        callback()
        return lambda: None

    def _forget(self, key: int) -> None:
        with self._lock:
            self._callbacks.pop(key, None)
