"""What a session says to the server: operations in their order, reads between them."""

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from chainrule.calls import EVALUATE, GET_STATE, Call
from chainrule.cursor import decode_cursor, encode_cursor
from chainrule.errors import ChainruleError, ErrorCode, StepConflict
from chainrule.fitting import Place
from chainrule.gradients import Gradients
from chainrule.ir import trees
from chainrule.ir.operations import Method, bare_digest, step_digest
from chainrule.ir.tensors import tensor_digest
from chainrule.lossgraphs import Known, LossGraphs, batch_arrays
from chainrule.objects import Objects
from chainrule.pipeline import Pending, Pipeline
from chainrule.prepared import owned
from chainrule.proto.v1 import session_pb2 as pb
from chainrule.results import StepResult, durability_name
from chainrule.tracing import spec
from chainrule.tracing.leaves import leaves_of, rebuild
from chainrule.transport import Transport
from chainrule.wire.records import Head, Header, Reply
from chainrule.wire.sessions import header_to_proto, reply_from_proto
from chainrule.wire.tensor import tensors_from_proto

Array = np.ndarray[Any, np.dtype[Any]]
T = TypeVar("T")

# Deep enough to hide the way to the server; the server holds what arrives out of order.
WINDOW = 4


class Conversation:
    """One session as it is spoken of with the server.

    Attributes:
        head: as Create or Open gave it.
        graphs: of the loss, by form of batch.
        pipeline: operations under way.
        place: where the last operation left the data.
        step: updates that answers have told of.
        timeout_s: of calls that name none.
    """

    def __init__(
        self,
        transport: Transport,
        objects: Objects,
        gradients: Gradients,
        head: Head,
        graphs: LossGraphs,
        timeout_s: float,
    ) -> None:
        self.transport = transport
        self.objects = objects
        self.gradients = gradients
        self.head = head
        self.graphs = graphs
        self.step = head.step
        self.timeout_s = timeout_s
        self.place = Place()
        self.go_to(head.client_cursor)
        self.pipeline = Pipeline(
            transport,
            head.session_id,
            epoch=head.epoch,
            next_seq=head.next_seq,
            chain=head.chain,
            window=max(1, min(WINDOW, head.max_inflight or WINDOW)),
        )

    def go_to(self, cursor: bytes) -> None:
        """Stand where a cursor says, and know the graphs that it hands down."""
        self.place, handed_down = decode_cursor(cursor)
        for form, digest in handed_down.items():
            self.graphs.known.setdefault(form, Known(digest))

    def deadline(self, timeout_s: float | None) -> float:
        """Waits for the operations under way; what is left of the time is the caller's."""
        deadline = time.monotonic() + self.left(timeout_s)
        self.pipeline.settle(deadline - time.monotonic())
        return deadline

    def left(self, timeout_s: float | None) -> float:
        """Seconds, where the caller may have said nothing."""
        return self.timeout_s if timeout_s is None else timeout_s

    def send_batch(
        self,
        call: Call[Any, Any],
        method: Method,
        batch: tuple[Any, ...],
        *,
        weight: float | None = None,
        place: Place | None = None,
        timeout_s: float | None = None,
    ) -> Pending[StepResult]:
        """A Step or ForwardBackward on its way."""
        arrays = batch_arrays(batch)
        deadline = time.monotonic() + (timeout_s or self.timeout_s)
        known = self.known(batch, train=True, deadline=deadline)
        digests = {name: tensor_digest(array) for name, array in arrays.items()}
        request = call.request(
            graph_digest=known.digest,
            batch=self.objects.to_proto(arrays, deadline=deadline, digests=digests),
            weight=weight,
        )
        after = place or self.place
        cursor = encode_cursor(after, self.graphs.handed_down())
        answer = self.send(
            call,
            request,
            step_digest(
                known.digest,
                tuple(digests.items()),
                weight=1.0 if weight is None else weight,
                cursor=cursor,
                method=method,
            ),
            lambda data, chain: self._step_result(call, data, chain),
            recover=lambda error: self._recover(error, known, arrays),
            cursor=cursor,
            timeout_s=timeout_s,
        )
        self.place = after
        return answer

    def send_bare(
        self, call: Call[Any, Any], method: Method, timeout_s: float | None
    ) -> Pending[StepResult]:
        """An operation without a body on its way."""
        cursor = self.cursor() if method is not Method.CLOSE else b""
        return self.send(
            call,
            call.request(),
            bare_digest(method, cursor),
            lambda data, chain: self._step_result(call, data, chain),
            cursor=cursor,
            timeout_s=timeout_s,
        )

    def send(
        self,
        call: Call[Any, Any],
        request: Any,
        digest: bytes,
        decode: Callable[[bytes, bytes], T],
        *,
        recover: Callable[[ChainruleError], bool] = lambda error: False,
        cursor: bytes = b"",
        timeout_s: float | None = None,
    ) -> Pending[T]:
        """Any operation on its way; see `Pipeline.submit`."""

        def encode(header: Header) -> bytes:
            request.header.CopyFrom(header_to_proto(header))
            return call.encode_request(request)

        return self.pipeline.submit(
            call, digest, encode, decode, recover=recover, cursor=cursor, timeout_s=timeout_s
        )

    def cursor(self) -> bytes:
        """Where things stand, for operations that don't move the data on."""
        return encode_cursor(self.place, self.graphs.handed_down())

    def checked(self, message: pb.OpReply, chain: bytes) -> Reply:
        """The answer to an operation, which must be of the history that was sent from here.

        Raises:
            StepConflict: it isn't (HISTORY_MISMATCH).
        """
        deadline = time.monotonic() + self.timeout_s
        reply = reply_from_proto(message, lambda digest: self.objects.get(digest, deadline))
        if reply.chain != chain:
            raise StepConflict(
                f"the server's history of operation {reply.seq} is not the one sent from here",
                code=ErrorCode.HISTORY_MISMATCH,
                cure="open the session again and go on from where it stands",
                chain=reply.chain,
            )
        return reply

    def known(self, batch: tuple[Any, ...], *, train: bool, deadline: float) -> Known:
        """The graph for a batch, which the server knows too."""
        known = self.graphs.find(batch, train)
        if known is None and self.graphs.loss is None and len(self.head.graph_digests) == 1:
            known = Known(self.head.graph_digests[0])
        if known is None:
            graph = self.graphs.trace(batch, train)
            self.gradients.upload_captures(graph, deadline)
            known = Known(self.gradients.register(graph, deadline - time.monotonic()), graph)
            self.graphs.add(batch, train, known)
        return known

    def read(
        self, known: Known, arrays: Mapping[str, Array], seed: int, deadline: float
    ) -> pb.EvaluateResponse:
        """Outputs of a graph over the state as it stands."""
        request = pb.EvaluateRequest(
            session_id=self.head.session_id,
            graph=pb.GraphRef(digest=known.digest),
            batch=self.objects.to_proto(arrays, deadline=deadline),
            seed=seed,
        )
        try:
            return self.transport.call(EVALUATE, request, deadline - time.monotonic())
        except ChainruleError as error:
            if not self._recover(error, known, arrays):
                raise
        return self.transport.call(EVALUATE, request, deadline - time.monotonic())

    def state(self, prefixes: tuple[str, ...], deadline: float) -> tuple[dict[str, Array], int]:
        """Leaves of the state, and the updates that they have seen."""
        request = pb.GetStateRequest(session_id=self.head.session_id, prefixes=prefixes)
        reply = self.transport.call(GET_STATE, request, deadline - time.monotonic())
        return self.arrays(reply.tensors, deadline), reply.head.step

    def arrays(self, messages: Any, deadline: float) -> dict[str, Array]:
        """The arrays of an answer, large ones fetched."""
        return tensors_from_proto(messages, lambda d: self.objects.get(d, deadline), "tensors")

    def specs(self, deadline: float) -> tuple[Any, Any]:
        """Shapes of parameters and buffers, asked for where they aren't known."""
        if self.graphs.params is None:
            leaves, _ = self.state(("params", "buffers"), deadline)
            specs = {n: spec(a.shape, a.dtype) for n, a in leaves.items()}
            self.graphs.params = tree_of(specs, "params")
            self.graphs.buffers = tree_of(specs, "buffers") or None
        return self.graphs.params, self.graphs.buffers

    def _step_result(self, call: Call[Any, Any], data: bytes, chain: bytes) -> StepResult:
        reply = self.checked(call.decode_reply(data).reply, chain)
        self.step = max(self.step, reply.step)
        return _result(reply)

    def _recover(self, error: ChainruleError, known: Known, arrays: Mapping[str, Array]) -> bool:
        if error.code is not ErrorCode.OBJECT_MISSING:
            return False
        deadline = time.monotonic() + self.timeout_s
        if known.graph is None:
            self.put_again(error, arrays)
            return known.digest not in error.facts.get("missing", ())
        return self.gradients.mend(error, known.graph, arrays.values(), deadline)

    def put_again(self, error: ChainruleError, arrays: Mapping[str, Array]) -> bool:
        """Objects that the server misses, uploaded once more; whether that was the trouble."""
        if error.code is not ErrorCode.OBJECT_MISSING:
            return False
        self.objects.forget(error.facts.get("missing", ()))
        self.objects.to_proto(arrays, deadline=time.monotonic() + self.timeout_s)
        return True


def shaped(leaves: Mapping[str, Array], prefix: str, like: Any) -> Any:
    """Leaves in the structure of `like`, or in the one that their names tell."""
    if like is None:
        return tree_of(leaves, prefix)
    return rebuild(like, [owned(leaves[name]) for name, _ in leaves_of(like, prefix)])


def tree_of(arrays: Mapping[str, Any], prefix: str) -> Any:
    """The tree whose leaves are named `prefix/..`."""
    names = [n for n in arrays if n == prefix or n.startswith(prefix + "/")]
    leaves = [a if not isinstance(a, np.ndarray) else owned(a) for a in map(arrays.get, names)]
    return trees.unflatten(names, leaves, prefix)


def _result(reply: Reply) -> StepResult:
    return StepResult(
        loss=float("nan") if reply.loss is None else reply.loss,
        grad_norm=float("nan") if reply.grad_norm is None else reply.grad_norm,
        grad_norms={n.removeprefix("params/"): v for n, v in reply.grad_norms.items()},
        step=reply.step,
        metrics=tree_of(reply.metrics, "metrics"),
        finite=reply.finite,
        replayed=reply.replayed,
        stats=reply.resources,
        receipt=reply.chain.hex(),
        receipts=reply.receipts,
        notices=reply.notices,
        numerics=reply.numerics,
        durability=durability_name(reply.durability_reached),
    )
