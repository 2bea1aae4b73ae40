"""What each operation does to a session's state, up to the point where it would be committed."""

from dataclasses import dataclass, replace

from chainrule.errors import (
    GraphError,
    Incompatible,
    NumericsChanged,
    ShapeMismatch,
)
from chainrule.ir.tensors import Array, aval_of
from chainrule_server.sessions.bodies import (
    Body,
    CloseBody,
    DiscardGradientsBody,
    ForwardBackwardBody,
    OptimStepBody,
    RestoreBody,
    SaveBody,
    SetStateBody,
    StepBody,
    tensors_of,
)
from chainrule_server.sessions.book import GraphBook
from chainrule_server.sessions.checkpoints import Checkpoints
from chainrule_server.sessions.feeds import resolve
from chainrule_server.sessions.journal import Journal
from chainrule_server.sessions.manifest import Manifest
from chainrule_server.sessions.record import NO_GRADIENTS
from chainrule_server.sessions.runner import Runner
from chainrule_server.sessions.saving import check_fits, restore, save
from chainrule_server.sessions.steps import (
    Outcome,
    Run,
    check_nothing_pending,
    run_gradients,
    run_step,
    run_update,
    write_leaves,
)
from chainrule_server.sessions.types import Caller, NumericsMode
from chainrule_server.storage.failures import translated
from chainrule_server.storage.objects import ObjectStore
from chainrule_server.workers.cancellation import Cancellation


@dataclass(frozen=True, slots=True)
class Room:
    """The parts of a session that an operation works on."""

    manifest: Manifest
    book: GraphBook
    journal: Journal
    runner: Runner
    objects: ObjectStore
    tenant: str
    numerics_id: bytes
    checkpoints: Checkpoints

    def run(self, caller: Caller, cancel: Cancellation, seed: int) -> Run:
        """A run on the state as it stands."""
        journal = self.journal
        version = journal.ledger.state_version
        return Run(self.runner, journal.state, version, seed, caller.deadline, cancel)


def execute(room: Room, caller: Caller, body: Body, cancel: Cancellation, cursor: bytes) -> Outcome:
    """Do what an operation asks, in the buffer that doesn't count yet.

    Args:
        room: of the session, whose turn the caller has.
        caller, body, cursor: of the operation.
        cancel: the wish to stop that it must obey.

    Raises:
        ChainruleError: whatever refuses it; the session stands where it stood.
    """
    ledger = room.journal.ledger
    stays = Outcome(ledger.step, ledger.state_version, pending=ledger.pending)
    match body:
        case StepBody() | ForwardBackwardBody():
            return _compute(room, caller, body, cancel)
        case OptimStepBody():
            _check_pin(room)
            run = room.run(caller, cancel, room.manifest.seed)
            return run_update(run, room.book, ledger, room.manifest.non_finite)
        case DiscardGradientsBody():
            return Outcome(ledger.step, ledger.state_version, pending=NO_GRADIENTS)
        case SetStateBody():
            return _set_state(room, body)
        case SaveBody(name):
            saved = save(
                room.checkpoints,
                room.manifest,
                room.journal,
                name,
                cursor or ledger.cursor,
                room.numerics_id,
            )
            return replace(stays, checkpoint=saved.digest)
        case RestoreBody():
            return _restore(room, body)
        case CloseBody():
            return stays


def _compute(
    room: Room, caller: Caller, body: StepBody | ForwardBackwardBody, cancel: Cancellation
) -> Outcome:
    _check_pin(room)
    ledger, policy = room.journal.ledger, room.manifest.non_finite
    batch = resolve(body.batch, body.batch_ref, room.objects, room.tenant)
    if isinstance(body, StepBody):
        run = room.run(caller, cancel, room.manifest.seed)
        return run_step(run, room.book, ledger, body.graph_digest, batch, policy)
    if not room.journal.state.is_grown:
        # The program is compiled first: what is refused must not cost the session its memory.
        room.book.half(body.graph_digest)
        room.journal.move_state(room.manifest.grown_layout, room.runner.forget)
    run = room.run(caller, cancel, room.manifest.seed)
    return run_gradients(run, room.book, ledger, body.graph_digest, batch, policy, body.weight)


def _set_state(room: Room, body: SetStateBody) -> Outcome:
    journal, ledger = room.journal, room.journal.ledger
    check_nothing_pending(ledger)
    arrays = resolve(tensors_of(body), None, room.objects, room.tenant)
    _check_leaves(room.manifest, arrays)
    with translated("writing the session's state"):
        write_leaves(journal.state, ledger.state_version, arrays, journal.names)
    return Outcome(ledger.step, ledger.state_version + 1)


def _restore(room: Room, body: RestoreBody) -> Outcome:
    journal, ledger = room.journal, room.journal.ledger
    content = room.checkpoints.content(body.checkpoint)
    drifts = body.allow_drift and room.manifest.numerics is not NumericsMode.PINNED
    check_fits(room.manifest, content, room.numerics_id, drifts)
    if content.pending.count and not journal.state.is_grown:
        journal.move_state(room.manifest.grown_layout, room.runner.forget)
    restore(room.checkpoints, journal, content)
    return Outcome(
        content.step,
        ledger.state_version + 1,
        pending=content.pending,
        checkpoint=content.digest,
    )


def _check_leaves(manifest: Manifest, arrays: dict[str, Array]) -> None:
    if not arrays:
        raise GraphError("no leaf is given", field="tensors", cure="name one leaf at least")
    avals = manifest.avals
    for name, array in arrays.items():
        if name not in avals:
            raise Incompatible(
                f"the state has no leaf {name}",
                field=name,
                cure="name leaves of the state, params/.. buffers/.. or state/..",
            )
        if aval_of(array) != avals[name]:
            raise ShapeMismatch(
                f"{name} is {aval_of(array)}, the state holds {avals[name]}",
                field=name,
                cure="send it with the dtype and shape that the state has",
            )


def _check_pin(room: Room) -> None:
    pinned = room.manifest.numerics_id
    if room.manifest.numerics is NumericsMode.PINNED and pinned != room.numerics_id:
        raise NumericsChanged(
            f"the session is pinned to numerics {pinned.hex()[:16]},"
            f" this server computes by {room.numerics_id.hex()[:16]}",
            cure="serve it with the version and machine type that it was created on",
        )
