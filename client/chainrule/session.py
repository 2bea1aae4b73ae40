"""A training session: the loop and the data are here, parameters and compute on the server."""

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from chainrule import checkpointing, fitting, forking
from chainrule.calls import (
    CLOSE,
    DISCARD_GRADIENTS,
    FORWARD_BACKWARD,
    OPTIM_STEP,
    SET_STATE,
    STEP,
)
from chainrule.conversation import Conversation, shaped, tree_of
from chainrule.fitting import Callback, Place
from chainrule.gradients import Gradients, warn_unsplit
from chainrule.history import History
from chainrule.ir.operations import Method, set_state_digest
from chainrule.ir.tensors import tensor_digest
from chainrule.lossgraphs import Known, LossGraphs, batch_arrays
from chainrule.objects import Objects
from chainrule.pipeline import Pending
from chainrule.predicting import trace_prediction
from chainrule.prepared import Function, owned
from chainrule.proto.v1 import session_pb2 as pb
from chainrule.results import CheckpointInfo, Evaluation, LogEntry, StepResult, durability_name
from chainrule.tracing.leaves import leaves_of
from chainrule.transport import Transport
from chainrule.wire.records import Head
from chainrule.wire.reports import notices_from_proto, resources_from_proto


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
        self._talk = Conversation(transport, objects, gradients, head, graphs, timeout_s)
        self._head = head
        self._closed = head.closed
        self._warned = False

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
        return self._talk.step + self._talk.pipeline.updates_under_way + 1

    @property
    def place(self) -> Place:
        """Where the last step left the data of `fit`."""
        return self._talk.place

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
        wait_s = self._talk.left(timeout_s)
        return self._told(self.submit(*batch, timeout_s=wait_s), wait_s)

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
        return self._talk.send_batch(STEP, Method.STEP, batch, place=place, timeout_s=timeout_s)

    def forward_backward(
        self, *batch: Any, weight: float = 1.0, timeout_s: float | None = None
    ) -> StepResult:
        """Loss and gradient of a batch, added to what accumulates until `optim_step`.

        k of these and one `optim_step` make the update of one step on all their examples together, for a
        loss that is a mean over its examples. They go on through everything that a step goes on through.

        Args:
            batch: as in `step`.
            weight: how often each example counts in the mean.
            timeout_s: as in `step`.

        Raises:
            Fenced, NonFinite, DeadlineExceeded: as `step`.
        """
        wait_s = self._talk.left(timeout_s)
        answer = self._talk.send_batch(
            FORWARD_BACKWARD, Method.FORWARD_BACKWARD, batch, weight=weight, timeout_s=wait_s
        )
        return self._told(answer, wait_s)

    def optim_step(self, *, timeout_s: float | None = None) -> StepResult:
        """One update with the mean of the accumulated gradients; its loss is the mean of theirs.

        Raises:
            Incompatible: none has accumulated.
        """
        answer = self._talk.send_bare(OPTIM_STEP, Method.OPTIM_STEP, timeout_s)
        return self._told(answer, self._talk.left(timeout_s))

    def discard_gradients(self, *, timeout_s: float | None = None) -> None:
        """Forgets the accumulated gradients."""
        answer = self._talk.send_bare(DISCARD_GRADIENTS, Method.DISCARD_GRADIENTS, timeout_s)
        self._talk.pipeline.wait(answer, self._talk.left(timeout_s))

    def set_state(
        self,
        *,
        params: Any = None,
        buffers: Any = None,
        optimizer: Any = None,
        timeout_s: float | None = None,
    ) -> None:
        """New values for parts of the state, in the form that `state()` gives; the rest stays.

        Args:
            params, buffers, optimizer: trees, whole or some of their branches.
            timeout_s: for everything.

        Raises:
            Incompatible: a leaf that the state hasn't, or gradients have accumulated.
            ShapeMismatch: a shape or dtype that the state hasn't.
        """
        talk = self._talk
        deadline = time.monotonic() + talk.left(timeout_s)
        parts = {"params": params, "buffers": buffers, "state": optimizer}
        arrays = {
            name: np.ascontiguousarray(leaf).reshape(np.shape(leaf))
            for root, tree in parts.items()
            if tree is not None
            for name, leaf in leaves_of(tree, root)
        }
        digests = {name: tensor_digest(array) for name, array in arrays.items()}
        tensors = talk.objects.to_proto(arrays, deadline=deadline, digests=digests)
        cursor = talk.cursor()
        answer = talk.send(
            SET_STATE,
            pb.SetStateRequest(tensors=tensors),
            set_state_digest(tuple(digests.items()), cursor),
            lambda data, chain: talk.checked(SET_STATE.decode_reply(data).reply, chain),
            recover=lambda error: talk.put_again(error, arrays),
            cursor=cursor,
        )
        talk.pipeline.wait(answer, deadline - time.monotonic())

    def settle(self, timeout_s: float | None = None) -> bool:
        """Waits until every step is answered; False if that takes longer than `timeout_s`."""
        return self._talk.pipeline.settle(timeout_s)

    def evaluate(self, *batch: Any, seed: int = 0, timeout_s: float | None = None) -> Evaluation:
        """The loss on a batch after all steps so far; nothing changes. `train` is False in it."""
        deadline = self._talk.deadline(timeout_s)
        known = self._talk.known(batch, train=False, deadline=deadline)
        reply = self._talk.read(known, batch_arrays(batch), seed, deadline)
        outputs = self._talk.arrays(reply.outputs, deadline)
        return Evaluation(
            float(outputs["loss"]),
            tree_of(outputs, "metrics"),
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
        deadline = self._talk.deadline(timeout_s)
        params, buffers = self._talk.specs(deadline)
        graph = trace_prediction(f, params, buffers, batch)
        self._talk.gradients.upload_captures(graph, deadline)
        digest = self._talk.gradients.register(graph, deadline - time.monotonic())
        reply = self._talk.read(Known(digest, graph), batch_arrays(batch), seed, deadline)
        outputs = self._talk.arrays(reply.outputs, deadline)
        return graph.unflatten({name: owned(array) for name, array in outputs.items()})

    def params(self, *, timeout_s: float | None = None) -> Any:
        """The parameters after all steps so far, in the structure they were given in."""
        leaves, _ = self._talk.state(("params",), self._talk.deadline(timeout_s))
        return shaped(leaves, "params", self._talk.graphs.params)

    def state(self, *, timeout_s: float | None = None) -> dict[str, Any]:
        """Everything: `params`, `buffers`, `optimizer` (its state), `step` (updates so far)."""
        leaves, step = self._talk.state((), self._talk.deadline(timeout_s))
        return {
            "params": shaped(leaves, "params", self._talk.graphs.params),
            "buffers": shaped(leaves, "buffers", self._talk.graphs.buffers),
            "optimizer": tree_of(leaves, "state"),
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

    def save(self, name: str, *, timeout_s: float | None = None) -> CheckpointInfo:
        """The whole state after all operations so far, kept under a name of this token, durably.

        It outlives the session. Saving the same state under the same name again is no error.

        Raises:
            NameTaken: the name means another state.
        """
        return checkpointing.save(self._talk, name, timeout_s)

    def restore(
        self, name_or_digest: str, *, allow_drift: bool = False, timeout_s: float | None = None
    ) -> None:
        """Back to a checkpoint: parameters, buffers, optimizer state, `step` and the place in the data.

        Args:
            name_or_digest: of this session's checkpoints, or of another's that has the same leaves.
            allow_drift: go on although it was computed under other numerics.
            timeout_s: for everything.

        Raises:
            NotFound: there is no such checkpoint.
            Incompatible: it doesn't fit; the text lists what differs.
            CorruptCheckpoint: it is damaged, at the tensor that is named; nothing was loaded.
            NumericsChanged: the server computes otherwise than the one that made it.
        """
        wait_s = self._talk.left(timeout_s)
        found = checkpointing.find_checkpoint(self._talk.transport, name_or_digest, wait_s)
        checkpointing.restore(self._talk, found, allow_drift, wait_s)

    def fork(
        self,
        name: str | None = None,
        *,
        at: str | int | None = None,
        timeout_s: float | None = None,
    ) -> "Session":
        """A new session that goes on from this one's state; neither hears of the other again.

        The server copies nothing before one of the two writes.

        Args:
            name: to open it by.
            at: begin at a checkpoint of this session (its name) or after an operation whose state is kept
                (its number); None: where the session stands after all operations so far.
            timeout_s: for everything.

        Raises:
            NotFound: no such checkpoint, or nobody kept that state.
            NameTaken: another session has the name.
        """
        talk = self._talk
        at_seq = 0 if at is None else at
        if isinstance(at_seq, str):
            wait_s = talk.left(timeout_s)
            at_seq = checkpointing.find_checkpoint(talk.transport, at_seq, wait_s).seq
        head = forking.fork(talk, name, at_seq, timeout_s)
        graphs = replace(talk.graphs, known=dict(talk.graphs.known))
        return Session(
            talk.transport, talk.objects, talk.gradients, head, graphs, timeout_s=talk.timeout_s
        )

    def log(self, from_seq: int = 1, *, timeout_s: float | None = None) -> tuple[LogEntry, ...]:
        """Applied operations from one on, as the server keeps them."""
        return tuple(forking.read_log(self._talk, from_seq, timeout_s))

    def close(self, *, timeout_s: float | None = None) -> None:
        """Ends the session for good: the server forgets its state. Closing twice is no error."""
        if self._closed:
            return
        answer = self._talk.send_bare(CLOSE, Method.CLOSE, timeout_s)
        self._talk.pipeline.wait(answer, self._talk.left(timeout_s))
        self._closed = True

    def load_structure(self) -> None:
        """Learns the shapes of parameters and buffers from the server, to trace a loss for them."""
        self._talk.specs(self._talk.deadline(None))

    def _told(self, answer: Pending[StepResult], timeout_s: float) -> StepResult:
        """The result, with the first notice that the batch couldn't be split as a warning."""
        result = self._talk.pipeline.wait(answer, timeout_s)
        if result.notices and not self._warned:
            self._warned = True
            warn_unsplit(result.notices, stacklevel=4)
        return result
