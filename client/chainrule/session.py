"""A training session: the loop and the data are here, parameters and compute on the server."""

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from chainrule import fitting
from chainrule.calls import CLOSE, EVALUATE, GET_STATE, STEP, Call
from chainrule.errors import ChainruleError, ErrorCode, StepConflict
from chainrule.fitting import Callback, Place
from chainrule.gradients import Gradients, warn_unsplit
from chainrule.history import History
from chainrule.ir import trees
from chainrule.ir.operations import close_digest, step_digest
from chainrule.ir.tensors import tensor_digest
from chainrule.lossgraphs import Known, LossGraphs, batch_arrays
from chainrule.objects import Objects
from chainrule.pipeline import Pending, Pipeline
from chainrule.predicting import trace_prediction
from chainrule.prepared import Function, owned
from chainrule.proto.v1 import session_pb2 as pb
from chainrule.results import Evaluation, StepResult, durability_name
from chainrule.tracing import spec
from chainrule.tracing.leaves import leaves_of, rebuild
from chainrule.transport import Transport
from chainrule.wire.records import Head, Header, Reply
from chainrule.wire.reports import notices_from_proto, resources_from_proto
from chainrule.wire.sessions import header_to_proto, reply_from_proto
from chainrule.wire.tensor import tensors_from_proto

Array = np.ndarray[Any, np.dtype[Any]]

# Deep enough to hide the way to the server; the server holds what arrives out of order.
WINDOW = 4


class Session:
    """One session, as `client.create_session` and `client.open_session` give it.

    It goes on by itself through lost connections and restarts of the server: every operation is sent, as
    the same bytes, until it is answered or refused. Another client that opens the session takes it over;
    the next operation here then raises `Fenced`.
    """

    def __init__(
        self,
        transport: Transport,
        objects: Objects,
        gradients: Gradients,
        head: Head,
        graphs: LossGraphs,
        *,
        timeout_s: float,
    ) -> None:
        self._transport = transport
        self._objects = objects
        self._gradients = gradients
        self._graphs = graphs
        self._timeout_s = timeout_s
        self._head = head
        self._step = head.step
        self._closed = head.closed
        self._place, handed_down = decode_cursor(head.client_cursor)
        for form, digest in handed_down.items():
            graphs.known.setdefault(form, Known(digest))
        self._warned = False
        self._pipeline = Pipeline(
            transport,
            head.session_id,
            epoch=head.epoch,
            next_seq=head.next_seq,
            chain=head.chain,
            window=max(1, min(WINDOW, head.max_inflight or WINDOW)),
        )

    def __repr__(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        state = "closed" if self._closed else f"next step {self.next_step}"
        return f"<Session{name} {self.id[:8]}, {state}, durability {self.durability}>"

    @property
    def id(self) -> str:
        """32 hex digits; `client.open_session(id)` opens it from anywhere."""
        return self._head.session_id.hex()

    @property
    def name(self) -> str | None:
        """As given to `create_session`."""
        return self._head.name or None

    @property
    def seed(self) -> int:
        """Of its random draws and of the order of its data."""
        return self._head.seed

    @property
    def durability(self) -> str:
        """What an acknowledged step survives: `memory`, `process` or `disk`."""
        return durability_name(self._head.durability)

    @property
    def next_step(self) -> int:
        """The number that the next step's result will carry; those under way are counted in."""
        return self._step + self._pipeline.under_way + 1

    @property
    def place(self) -> Place:
        """Where the last step left the data of `fit`."""
        return self._place

    def step(self, *batch: Any, timeout_s: float | None = None) -> StepResult:
        """One step: loss, gradient and update on a batch.

        Args:
            batch: the arguments of the loss after the parameters (and buffers).
            timeout_s: how long to wait; the step itself is sent until it is answered.

        Raises:
            Fenced: another client has opened the session.
            NonFinite: loss or gradient is NaN or infinite; nothing was applied.
            DeadlineExceeded: no answer yet; the step is still under way.
        """
        wait_s = self._timeout_s if timeout_s is None else timeout_s
        result = self._pipeline.wait(self.submit(*batch, timeout_s=wait_s), wait_s)
        if result.notices and not self._warned:
            self._warned = True
            warn_unsplit(result.notices, stacklevel=3)
        return result

    def submit(
        self, *batch: Any, place: Place | None = None, timeout_s: float | None = None
    ) -> Pending[StepResult]:
        """A step without waiting for it: `.result()` or `await` gives what `step` gives.

        Up to four are under way at once; the next call waits for room. They are applied in the order of
        their calls; where one is refused, those after it are too.

        Args:
            batch: as in `step`.
            place: where the data of a fit stands after this step.
            timeout_s: of the first attempt; later ones have longer.
        """
        arrays = batch_arrays(batch)
        deadline = time.monotonic() + (timeout_s or self._timeout_s)
        known = self._known(batch, train=True, deadline=deadline)
        digests = {name: tensor_digest(array) for name, array in arrays.items()}
        request = pb.StepRequest(
            graph_digest=known.digest,
            batch=self._objects.to_proto(arrays, deadline=deadline, digests=digests),
        )
        after = place or self._place
        cursor = encode_cursor(after, self._graphs.handed_down())
        answer = self._pipeline.submit(
            STEP,
            step_digest(known.digest, tuple(digests.items()), cursor=cursor),
            lambda header: _with_header(STEP, request, header),
            self._step_result,
            recover=lambda error: self._recover(error, known, arrays),
            cursor=cursor,
            timeout_s=timeout_s,
        )
        self._place = after
        return answer

    def settle(self, timeout_s: float | None = None) -> bool:
        """Waits until every step is answered; False if that takes longer than `timeout_s`."""
        return self._pipeline.settle(timeout_s)

    def evaluate(self, *batch: Any, seed: int = 0, timeout_s: float | None = None) -> Evaluation:
        """The loss on a batch after all steps so far; nothing changes. `train` is False in it."""
        deadline = self._deadline(timeout_s)
        known = self._known(batch, train=False, deadline=deadline)
        reply = self._read(known, batch_arrays(batch), seed, deadline)
        outputs = self._arrays(reply.outputs, deadline)
        return Evaluation(
            float(outputs["loss"]),
            _tree(outputs, "metrics"),
            reply.step,
            reply.finite,
            resources_from_proto(reply.resources),
            notices_from_proto(reply.notices),
        )

    def predict(
        self, f: Function, *batch: Any, seed: int = 0, timeout_s: float | None = None
    ) -> Any:
        """f(params, *batch) after all steps so far; with buffers f(params, buffers, *batch).

        Args:
            f: NumPy code, traced at every call, or a graph of it.
            batch: arrays with the examples as leading axis.
            seed: of random draws.
            timeout_s: for everything.
        """
        deadline = self._deadline(timeout_s)
        params, buffers = self._specs(deadline)
        graph = trace_prediction(f, params, buffers, batch)
        self._gradients.upload_captures(graph, deadline)
        digest = self._gradients.register(graph, deadline - time.monotonic())
        reply = self._read(Known(digest, graph), batch_arrays(batch), seed, deadline)
        outputs = self._arrays(reply.outputs, deadline)
        return graph.unflatten({name: owned(array) for name, array in outputs.items()})

    def params(self, *, timeout_s: float | None = None) -> Any:
        """The parameters after all steps so far, in the structure they were given in."""
        leaves, _ = self._state(("params",), self._deadline(timeout_s))
        return self._shaped(leaves, "params", self._graphs.params)

    def state(self, *, timeout_s: float | None = None) -> dict[str, Any]:
        """Everything: `params`, `buffers`, `optimizer` (its state), `step` (updates so far)."""
        leaves, step = self._state((), self._deadline(timeout_s))
        return {
            "params": self._shaped(leaves, "params", self._graphs.params),
            "buffers": self._shaped(leaves, "buffers", self._graphs.buffers),
            "optimizer": _tree(leaves, "state"),
            "step": step,
        }

    def fit(
        self,
        data: Any,
        *,
        epochs: int,
        batch_size: int = 32,
        validation: Any = None,
        callbacks: Iterable[Callback] = (),
        progress: bool = True,
    ) -> History:
        """Trains until `epochs` epochs are done in total, those of earlier calls counted in.

        The order of an epoch is the permutation that Philox draws with key (seed, epoch). The place in the
        data is kept by the server with every step, so a session that was opened again goes on at the next
        batch.

        Args:
            data: the arguments of the loss after the parameters, `(x, y)`, examples leading.
            epochs: in total.
            batch_size: examples a step; the last batch of an epoch may be smaller.
            validation: evaluated after every epoch, in the form of `data`.
            callbacks: each is called with a `StepResult` after a step and an `Epoch` after an epoch; True
                ends the fit.
            progress: show a bar.
        """
        return fitting.fit(
            self,
            data,
            epochs=epochs,
            batch_size=batch_size,
            validation=validation,
            callbacks=callbacks,
            progress=progress,
        )

    def close(self, *, timeout_s: float | None = None) -> None:
        """Ends the session for good: the server forgets its state. Closing twice is no error."""
        if self._closed:
            return
        answer = self._pipeline.submit(
            CLOSE,
            close_digest(),
            lambda header: _with_header(CLOSE, pb.CloseRequest(), header),
            lambda data, chain: CLOSE.decode_reply(data),
            recover=lambda error: False,
        )
        self._pipeline.wait(answer, self._timeout_s if timeout_s is None else timeout_s)
        self._closed = True

    def load_structure(self) -> None:
        """Learns the shapes of parameters and buffers from the server, to trace a loss for them."""
        self._specs(self._deadline(None))

    def _deadline(self, timeout_s: float | None) -> float:
        """Waits for the steps under way; what is left of the time is the caller's."""
        deadline = time.monotonic() + (self._timeout_s if timeout_s is None else timeout_s)
        self._pipeline.settle(deadline - time.monotonic())
        return deadline

    def _known(self, batch: tuple[Any, ...], *, train: bool, deadline: float) -> Known:
        known = self._graphs.find(batch, train)
        if known is None and self._graphs.loss is None and len(self._head.graph_digests) == 1:
            known = Known(self._head.graph_digests[0])
        if known is None:
            graph = self._graphs.trace(batch, train)
            self._gradients.upload_captures(graph, deadline)
            known = Known(self._gradients.register(graph, deadline - time.monotonic()), graph)
            self._graphs.add(batch, train, known)
        return known

    def _recover(self, error: ChainruleError, known: Known, arrays: Mapping[str, Array]) -> bool:
        if error.code is not ErrorCode.OBJECT_MISSING:
            return False
        deadline = time.monotonic() + self._timeout_s
        if known.graph is None:
            self._objects.forget(error.facts.get("missing", ()))
            self._objects.to_proto(arrays, deadline=deadline)
            return known.digest not in error.facts.get("missing", ())
        return self._gradients.mend(error, known.graph, arrays.values(), deadline)

    def _step_result(self, data: bytes, chain: bytes) -> StepResult:
        deadline = time.monotonic() + self._timeout_s
        message = STEP.decode_reply(data).reply
        reply = reply_from_proto(message, lambda digest: self._objects.get(digest, deadline))
        if reply.chain != chain:
            raise StepConflict(
                f"the server's history of operation {reply.seq} is not the one sent from here",
                code=ErrorCode.HISTORY_MISMATCH,
                cure="open the session again and go on from where it stands",
                chain=reply.chain,
            )
        self._step = max(self._step, reply.step)
        return _result(reply)

    def _read(
        self, known: Known, arrays: Mapping[str, Array], seed: int, deadline: float
    ) -> pb.EvaluateResponse:
        request = pb.EvaluateRequest(
            session_id=self._head.session_id,
            graph=pb.GraphRef(digest=known.digest),
            batch=self._objects.to_proto(arrays, deadline=deadline),
            seed=seed,
        )
        try:
            return self._transport.call(EVALUATE, request, deadline - time.monotonic())
        except ChainruleError as error:
            if not self._recover(error, known, arrays):
                raise
        return self._transport.call(EVALUATE, request, deadline - time.monotonic())

    def _state(self, prefixes: tuple[str, ...], deadline: float) -> tuple[dict[str, Array], int]:
        request = pb.GetStateRequest(session_id=self._head.session_id, prefixes=prefixes)
        reply = self._transport.call(GET_STATE, request, deadline - time.monotonic())
        return self._arrays(reply.tensors, deadline), reply.head.step

    def _arrays(self, messages: Any, deadline: float) -> dict[str, Array]:
        return tensors_from_proto(messages, lambda d: self._objects.get(d, deadline), "tensors")

    def _specs(self, deadline: float) -> tuple[Any, Any]:
        if self._graphs.params is None:
            leaves, _ = self._state(("params", "buffers"), deadline)
            specs = {n: spec(a.shape, a.dtype) for n, a in leaves.items()}
            self._graphs.params = _tree(specs, "params")
            self._graphs.buffers = _tree(specs, "buffers") or None
        return self._graphs.params, self._graphs.buffers

    def _shaped(self, leaves: Mapping[str, Array], prefix: str, like: Any) -> Any:
        if like is None:
            return _tree(leaves, prefix)
        return rebuild(like, [owned(leaves[name]) for name, _ in leaves_of(like, prefix)])


def encode_cursor(place: Place, graphs: Mapping[str, str]) -> bytes:
    """What the server keeps for whoever opens the session next: place in the data, forms of batches."""
    record = {"v": 1, "epoch": place.epoch, "row": place.row, "graphs": dict(graphs)}
    return json.dumps(record, separators=(",", ":"), sort_keys=True).encode()


def decode_cursor(cursor: bytes) -> tuple[Place, dict[str, bytes]]:
    """The parts of a cursor; a beginning where it is empty or another client's."""
    try:
        record = json.loads(cursor)
        graphs = {str(k): bytes.fromhex(v) for k, v in record["graphs"].items()}
        return Place(int(record["epoch"]), int(record["row"])), graphs
    except (ValueError, KeyError, TypeError, AttributeError):
        return Place(), {}


def _with_header(call: Call[Any, Any], request: Any, header: Header) -> bytes:
    request.header.CopyFrom(header_to_proto(header))
    return call.encode_request(request)


def _tree(arrays: Mapping[str, Any], prefix: str) -> Any:
    names = [n for n in arrays if n == prefix or n.startswith(prefix + "/")]
    leaves = [a if not isinstance(a, np.ndarray) else owned(a) for a in map(arrays.get, names)]
    return trees.unflatten(names, leaves, prefix)


def _result(reply: Reply) -> StepResult:
    return StepResult(
        loss=float("nan") if reply.loss is None else reply.loss,
        grad_norm=float("nan") if reply.grad_norm is None else reply.grad_norm,
        grad_norms={n.removeprefix("params/"): v for n, v in reply.grad_norms.items()},
        step=reply.step,
        metrics=_tree(reply.metrics, "metrics"),
        finite=reply.finite,
        replayed=reply.replayed,
        stats=reply.resources,
        receipt=reply.chain.hex(),
        receipts=reply.receipts,
        notices=reply.notices,
        numerics=reply.numerics,
        durability=durability_name(reply.durability_reached),
    )
