"""Programs by what was asked, so that a graph is compiled once and a worker gets it once."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future
from typing import Generic, TypeVar

from chainrule.ir import canonical
from chainrule.ir.graph import Graph
from chainrule_server.door.graphs import Known
from chainrule_server.engine.accumulate import compile_gradients, compile_update
from chainrule_server.engine.compiler import compile_request
from chainrule_server.engine.explain import Explanation, explain
from chainrule_server.engine.linearize import Linearized, linearize
from chainrule_server.engine.program import Program
from chainrule_server.engine.requests import Request
from chainrule_server.engine.step import compile_forward, compile_step
from chainrule_server.engine.verify import Verification, verification

Value = TypeVar("Value")


class Cache(Generic[Value]):
    """The last values by key; equal keys at the same time are made once, different ones side by side.

    Args:
        size: how many are kept.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._values: OrderedDict[Hashable, Future[Value]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of a key. An exception of `make` goes to everybody who waits, and isn't kept."""
        with self._lock:
            future = self._values.get(key)
            mine = future is None
            if future is None:
                future = self._values[key] = Future()
            self._values.move_to_end(key)
            while len(self._values) > self._size:
                self._values.popitem(last=False)
        if mine:
            try:
                future.set_result(make())
            except BaseException as error:
                with self._lock:
                    if self._values.get(key) is future:
                        del self._values[key]
                future.set_exception(error)
        return future.result()


class Programs:
    """Compiles, and remembers by tenant.

    Args:
        numerics_id: of this process.
        tenant_size: programs kept for one tenant; nobody can push out another's.
    """

    def __init__(self, numerics_id: bytes, tenant_size: int = 32) -> None:
        self._tenant_size = tenant_size
        self._lock = threading.Lock()
        self._requests: dict[str, Cache[Program]] = {}
        self._explanations: dict[str, Cache[Explanation]] = {}
        self._verifications: dict[str, Cache[Verification]] = {}
        self._linearized: dict[str, Cache[Linearized]] = {}
        self._steps: Cache[Program] = Cache(256)
        self._numerics_id = numerics_id

    @property
    def numerics_id(self) -> bytes:
        """32 bytes that change when golden bits change."""
        return self._numerics_id

    def request(
        self, tenant: str, known: Known, requests: tuple[Request, ...], microshard: int
    ) -> Program:
        """The program that answers requests about a graph.

        Raises:
            GraphError: what is asked doesn't fit the graph.
        """
        with self._lock:
            cache = self._requests.setdefault(tenant, Cache(self._tenant_size))
        # Notices name source lines, so other labels are another program.
        key = (known.digest, known.graph.debug, requests, microshard)
        return cache.get(
            key, lambda: compile_request(known.graph, requests, microshard=microshard or None)
        )

    def linearized(
        self,
        tenant: str,
        known: Known,
        wrt: tuple[str, ...],
        outs: tuple[str, ...],
        microshard: int,
    ) -> Linearized:
        """A graph cut at the residuals of its derivatives.

        Raises:
            GraphError: names that are not there, or that have no derivative.
        """
        with self._lock:
            cache = self._linearized.setdefault(tenant, Cache(self._tenant_size))
        key = (known.digest, known.graph.debug, wrt, outs, microshard)
        return cache.get(key, lambda: linearize(known.graph, wrt, outs, microshard))

    def verification(
        self, tenant: str, known: Known, wrt: tuple[str, ...], outs: tuple[str, ...]
    ) -> Verification:
        """The programs that hold a graph's derivatives against its values.

        Raises:
            GraphError: names that are not there, or that have no derivative.
        """
        with self._lock:
            cache = self._verifications.setdefault(tenant, Cache(self._tenant_size))
        key = (known.digest, known.graph.debug, wrt, outs)
        return cache.get(key, lambda: verification(known.graph, wrt, outs))

    def explanation(
        self, tenant: str, known: Known, wrt: tuple[str, ...], output: str
    ) -> Explanation:
        """The program that computes everything there is to see of a derivative.

        Raises:
            GraphError: names that are not there, or more nodes than anybody would read.
        """
        with self._lock:
            cache = self._explanations.setdefault(tenant, Cache(self._tenant_size))
        key = (known.digest, known.graph.debug, wrt, output)
        return cache.get(key, lambda: explain(known.graph, wrt, output))

    def compile_step(
        self, loss: Graph, update: Graph, *, places: Mapping[str, int], microshard_rows: int
    ) -> Program:
        """Loss, gradient and update in one program; see `engine.step`."""
        digests = canonical.digest(loss), canonical.digest(update)
        key = ("step", digests, tuple(sorted(places.items())), microshard_rows)
        return self._steps.get(
            key,
            lambda: compile_step(loss, update, places=places, microshard_rows=microshard_rows),
        )

    def compile_gradients(
        self, loss: Graph, update: Graph, *, places: Mapping[str, int], microshard_rows: int
    ) -> Program:
        """The first half of a step; see `engine.accumulate`."""
        digests = canonical.digest(loss), canonical.digest(update)
        key = ("gradients", digests, tuple(sorted(places.items())), microshard_rows)
        return self._steps.get(
            key,
            lambda: compile_gradients(loss, update, places=places, microshard_rows=microshard_rows),
        )

    def compile_update(self, update: Graph, *, places: Mapping[str, int]) -> Program:
        """The second half of a step; see `engine.accumulate`."""
        key = ("update", canonical.digest(update), tuple(sorted(places.items())))
        return self._steps.get(key, lambda: compile_update(update, places=places))

    def compile_forward(
        self, graph: Graph, *, places: Mapping[str, int], microshard_rows: int
    ) -> Program:
        """The outputs of a graph over a session's state."""
        key = ("forward", canonical.digest(graph), tuple(sorted(places.items())), microshard_rows)
        return self._steps.get(
            key, lambda: compile_forward(graph, places=places, microshard_rows=microshard_rows)
        )
