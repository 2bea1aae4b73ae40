"""Save and Restore: a session's state to a checkpoint, and back into any session that it fits."""

import time

from chainrule.errors import Incompatible, NumericsChanged
from chainrule.ir.tensors import Array
from chainrule_server.sessions.checkpoints import Checkpoint, Checkpoints, checkpoint_of
from chainrule_server.sessions.creation import check_label
from chainrule_server.sessions.journal import Journal
from chainrule_server.sessions.manifest import Manifest
from chainrule_server.sessions.snapshot import Content, leaf_of
from chainrule_server.sessions.state import names_of
from chainrule_server.storage.failures import translated

_SHOWN = 6


def content_of(manifest: Manifest, journal: Journal, cursor: bytes, numerics_id: bytes) -> Content:
    """The state as it stands, with the digest of every leaf; reads all of it."""
    ledger, state = journal.ledger, journal.state
    avals = {leaf.name: leaf.aval for leaf in state.layout.leaves}
    with translated("reading the session's state"):
        leaves = tuple(
            leaf_of(name, state.read(ledger.state_version, name), avals[name])
            for name in sorted(journal.names)
        )
    return Content(
        step=ledger.step,
        cursor=cursor,
        pending=ledger.pending,
        leaves=leaves,
        init=manifest.init,
        update=manifest.update,
        numerics_id=numerics_id,
    )


def save(
    checkpoints: Checkpoints,
    manifest: Manifest,
    journal: Journal,
    name: str,
    cursor: bytes,
    numerics_id: bytes,
) -> Checkpoint:
    """Keep the state under a name, durably, before the operation that asked for it is committed.

    A Save that was interrupted is made again with the same outcome: it is the same content.

    Raises:
        NameTaken, Overloaded: as `Checkpoints.save`.
        InvalidGraph: a name that is none (BAD_NAME).
    """
    check_label(name)
    content = content_of(manifest, journal, cursor, numerics_id)
    state, version = journal.state, journal.ledger.state_version
    checkpoint = checkpoint_of(content, name, manifest.session_id, journal.ledger.seq, time.time())
    return checkpoints.save(checkpoint, content, lambda leaf: state.read(version, leaf))


def check_fits(manifest: Manifest, content: Content, numerics_id: bytes, allow_drift: bool) -> None:
    """That a checkpoint may become the state of a session.

    Raises:
        Incompatible: other leaves or another optimizer; the text lists what differs.
        NumericsChanged: it was computed under other numerics.
    """
    held = dict(manifest.leaves) | (dict(manifest.gradients) if content.pending.count else {})
    saved = {leaf.name: leaf.aval for leaf in content.leaves}
    diff = [
        f"{name}: {saved.get(name, 'nothing')} in the checkpoint, {held.get(name, 'nothing')} here"
        for name in sorted(held.keys() | saved.keys())
        if held.get(name) != saved.get(name)
    ]
    if manifest.update != content.update:
        diff.append("the optimizer is another one")
    if diff:
        more = f" and {len(diff) - _SHOWN} more" if len(diff) > _SHOWN else ""
        raise Incompatible(
            f"the checkpoint doesn't fit the session: {'; '.join(diff[:_SHOWN])}{more}",
            cure="restore it into a session with the same parameters, buffers and optimizer",
        )
    if content.numerics_id != numerics_id and not allow_drift:
        raise NumericsChanged(
            f"the checkpoint was computed by numerics {content.numerics_id.hex()[:16]},"
            f" this server computes by {numerics_id.hex()[:16]}",
            cure="go on all the same with allow_drift, later bits may differ",
        )


def restore(checkpoints: Checkpoints, journal: Journal, content: Content) -> None:
    """Write a checkpoint's leaves into the buffer that doesn't count yet, each proven before.

    Raises:
        CorruptCheckpoint: a tensor isn't what was saved; the session stands where it stood.
    """
    state, version = journal.state, journal.ledger.state_version
    state.spoil(names_of(state.layout, with_gradients=content.pending.count > 0))

    def take(name: str, array: Array) -> None:
        state.write(version + 1, [(name, array)])

    checkpoints.leaves(content, take)
