"""Residuals that stay on the server between calls: counted, bounded, and gone when their time is up."""

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from chainrule.errors import ErrorCode, LimitExceeded, NotFound, Overloaded
from chainrule.wire.records import Array
from chainrule_server.door.budget import ByteBudget
from chainrule_server.engine.linearize import Linearized

# All leases together take at most this share of what runs may take.
_SHARE = 0.5
DEFAULT_TTL_S, MAX_TTL_S = 300.0, 3600.0


@dataclass(eq=False, slots=True)
class Lease:
    """The forward of one call.

    Attributes:
        id: 16 bytes.
        linearized: what may be asked of it.
        n: examples.
        residuals: by name.
        ttl_s: how long it lives after its last use.
        nbytes: of the residuals.
        until: when it is given up, on the clock of `Leases`.
    """

    id: bytes
    linearized: Linearized
    n: int
    residuals: Mapping[str, Array]
    ttl_s: float
    nbytes: int
    until: float


class Leases:
    """All leases of a server. Thread-safe.

    Args:
        budget: of runs; a lease holds its bytes there.
        per_tenant: how many a tenant may have.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        budget: ByteBudget,
        per_tenant: int = 64,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._budget = budget
        self._limit = int(_SHARE * budget.total)
        self._per_tenant = per_tenant
        self._clock = clock
        self._changed = threading.Condition()
        self._held: dict[tuple[str, bytes], Lease] = {}
        self._promised: dict[object, tuple[str, int]] = {}
        self._closed = False
        self._watcher = threading.Thread(target=self._watch, name="leases", daemon=True)
        self._watcher.start()

    @property
    def nbytes(self) -> int:
        """What all leases hold."""
        with self._changed:
            return sum(lease.nbytes for lease in self._held.values())

    @contextmanager
    def room(self, tenant: str, nbytes: int) -> Iterator[None]:
        """Keep room for one lease more while its forward runs; `keep` is called inside.

        Raises:
            LimitExceeded: more than all leases may take (COST_BYTES).
            Overloaded: this tenant or the server has too many (QUOTA).
        """
        if nbytes > self._limit:
            raise LimitExceeded(
                f"the residuals take {nbytes} bytes, all leases may take {self._limit}",
                code=ErrorCode.COST_BYTES,
                cure="linearize at a smaller batch, or use checkpoint, or ask for vjps by Compute",
                limit=self._limit,
                value=nbytes,
            )
        promise = object()
        with self._changed:
            self._drop_expired()
            self._check_room(tenant, nbytes)
            self._promised[promise] = (tenant, nbytes)
        try:
            yield
        finally:
            with self._changed:
                del self._promised[promise]

    def keep(
        self,
        tenant: str,
        linearized: Linearized,
        n: int,
        residuals: Mapping[str, Array],
        ttl_s: float,
    ) -> Lease:
        """Hold residuals; their bytes are counted from now on."""
        nbytes = sum(array.nbytes for array in residuals.values())
        ttl_s = min(ttl_s or DEFAULT_TTL_S, MAX_TTL_S)
        lease = Lease(
            secrets.token_bytes(16), linearized, n, residuals, ttl_s, nbytes, self._clock() + ttl_s
        )
        self._budget.hold(nbytes)
        with self._changed:
            self._held[tenant, lease.id] = lease
            self._changed.notify_all()
        return lease

    def use(self, tenant: str, lease_id: bytes) -> Lease:
        """A lease, whose time begins anew.

        Raises:
            NotFound: it ran out or was released, the server began again, or it is another tenant's.
        """
        with self._changed:
            self._drop_expired()
            lease = self._held.get((tenant, lease_id))
            if lease is None:
                raise NotFound(
                    f"no lease {lease_id.hex()[:32]}",
                    code=ErrorCode.NOT_FOUND,
                    field="lease_id",
                    cure="linearize again; a lease ends after its ttl, when it is released, and "
                    "with its server",
                )
            lease.until = self._clock() + lease.ttl_s
            return lease

    def release(self, tenant: str, lease_id: bytes) -> bool:
        """Give a lease up; False where there is none."""
        with self._changed:
            return self._drop((tenant, lease_id))

    def close(self) -> None:
        """Give all up and end the watch."""
        with self._changed:
            self._closed = True
            for key in list(self._held):
                self._drop(key)
            self._changed.notify_all()
        self._watcher.join()

    def _check_room(self, tenant: str, nbytes: int) -> None:
        promised = list(self._promised.values())
        mine = sum(t == tenant for t, _ in (*self._held, *promised))
        used = sum(x.nbytes for x in self._held.values()) + sum(size for _, size in promised)
        if mine >= self._per_tenant:
            fact, limit, value = f"{mine} leases are open", self._per_tenant, mine + 1
        elif used + nbytes > self._limit:
            fact = f"leases hold {used} of {self._limit} bytes, this one takes {nbytes}"
            limit, value = self._limit, used + nbytes
        else:
            return
        soonest = min((x.until for x in self._held.values()), default=self._clock() + 1.0)
        raise Overloaded(
            fact,
            code=ErrorCode.QUOTA,
            cure="release leases that are done with, or wait until some run out",
            limit=limit,
            value=value,
            retry_after_s=max(soonest - self._clock(), 0.1),
        )

    def _drop(self, key: tuple[str, bytes]) -> bool:
        lease = self._held.pop(key, None)
        if lease is None:
            return False
        self._budget.give(lease.nbytes)
        return True

    def _drop_expired(self) -> None:
        now = self._clock()
        for key in [key for key, lease in self._held.items() if lease.until <= now]:
            self._drop(key)

    def _watch(self) -> None:
        with self._changed:
            while not self._closed:
                self._drop_expired()
                soonest = min((lease.until for lease in self._held.values()), default=None)
                left = None if soonest is None else max(soonest - self._clock(), 0.001)
                self._changed.wait(left)
