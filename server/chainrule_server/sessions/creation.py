"""From a Create to a session's first state: checked, initialised, written."""

import re
from dataclasses import dataclass

from chainrule.errors import (
    ErrorCode,
    GraphError,
    LimitExceeded,
    NumericsChanged,
    Unsupported,
)
from chainrule.ir import canonical
from chainrule.ir.avals import Aval
from chainrule.ir.operations import first_chain
from chainrule.ir.tensors import Array, aval_of
from chainrule_server.sessions.checks import check_init, check_loss, check_names, check_update
from chainrule_server.sessions.digests import check_bytes
from chainrule_server.sessions.feeds import resolve
from chainrule_server.sessions.header import StateHeader
from chainrule_server.sessions.home import Home
from chainrule_server.sessions.journal import Journal
from chainrule_server.sessions.limits import SessionLimits
from chainrule_server.sessions.log import Log
from chainrule_server.sessions.manifest import Manifest
from chainrule_server.sessions.order import Ledger
from chainrule_server.sessions.runner import Runner, StepCompiler
from chainrule_server.sessions.state import StateFile
from chainrule_server.sessions.types import Caller, CreateSpec, NumericsMode
from chainrule_server.storage.disk import Disk
from chainrule_server.storage.objects import ObjectStore

_NAME = re.compile(r"[A-Za-z0-9_.\-/]{1,128}")


@dataclass(frozen=True, slots=True)
class Maker:
    """What it takes to make a session."""

    disk: Disk
    objects: ObjectStore
    compiler: StepCompiler
    runner: Runner
    limits: SessionLimits
    boot_id: bytes


def check_spec(spec: CreateSpec) -> None:
    """The fields of a Create that need no array.

    Raises:
        GraphError: ids of a wrong length, a bad name.
        Unsupported: a level or mode that this version doesn't serve.
    """
    check_bytes("session_id", spec.session_id, 16)
    check_bytes("request_id", spec.request_id, 16)
    if spec.name:
        check_label(spec.name)
    if spec.numerics is NumericsMode.PORTABLE:
        raise Unsupported(
            "portable numerics are not served by this version",
            field="numerics",
            cure="use native, or pin the numerics_id of a server",
        )


def check_label(name: str) -> None:
    """That a session or a checkpoint may have this name.

    Raises:
        GraphError: it may not (BAD_NAME).
    """
    if not _NAME.fullmatch(name):
        raise GraphError(
            f"the name {name[:64]!r} is no valid name",
            code=ErrorCode.BAD_NAME,
            field="name",
            cure="use 1 to 128 of A-Z a-z 0-9 _ . - /",
        )


def first_state(maker: Maker, caller: Caller, spec: CreateSpec) -> dict[str, Array]:
    """Parameters and buffers as given, and the optimizer's state from its init graph.

    Raises:
        ChainruleError: leaves that are missing, doubled, misnamed or too large; graphs that don't fit.
    """
    params = resolve(spec.params, None, maker.objects, caller.tenant)
    buffers = resolve(spec.buffers, None, maker.objects, caller.tenant)
    check_names(params, "params")
    check_names(buffers, "buffers")
    avals = {name: aval_of(array) for name, array in (params | buffers).items()}
    given = {name: avals[name] for name in params}
    states = check_init(spec.optimizer.init.main, given)
    check_update(spec.optimizer.update.main, given, states, spec.frozen)
    nbytes = sum(aval.nbytes for aval in (*avals.values(), *states.values()))
    if nbytes > maker.limits.state_bytes:
        raise LimitExceeded(
            f"a state of {nbytes} bytes is above {maker.limits.state_bytes}",
            cure="train a smaller model, or raise the server's limit",
            limit=maker.limits.state_bytes,
            value=nbytes,
        )
    for graph in spec.graphs:
        check_loss(graph.main, avals | states)
    program = maker.compiler.compile_forward(spec.optimizer.init, places={}, microshard_rows=0)
    wanted = {port.name for port in program.inputs}
    feeds = {name: array for name, array in params.items() if name in wanted}
    result = maker.runner.run(
        program, 1, feeds, state=None, deadline=caller.deadline, cancel=caller.cancel
    )
    return {**params, **buffers, **{name: result.outputs[name] for name in states}}


def manifest_of(
    maker: Maker, spec: CreateSpec, digest: bytes, arrays: dict[str, Array], created_at: float
) -> Manifest:
    """What the session will be.

    Raises:
        NumericsChanged: pinned to numerics that this server doesn't compute by.
    """
    numerics_id = maker.compiler.numerics_id
    if spec.numerics is NumericsMode.PINNED and spec.numerics_id != numerics_id:
        raise NumericsChanged(
            f"the session is to be pinned to numerics {spec.numerics_id.hex()[:16] or 'nothing'},"
            f" this server computes by {numerics_id.hex()[:16]}",
            field="numerics_id",
            cure="pin the numerics_id that GetInfo gives",
        )
    avals = {name: aval_of(array) for name, array in arrays.items()}
    params = _under(avals, "params")
    limits = maker.limits
    return Manifest(
        session_id=spec.session_id,
        request_id=spec.request_id,
        digest=digest,
        chain=first_chain(spec.session_id, digest),
        name=spec.name,
        created_at=created_at,
        seed=spec.seed,
        microshard_rows=spec.microshard_rows,
        durability=spec.durability,
        numerics=spec.numerics,
        numerics_id=numerics_id,
        non_finite=spec.non_finite,
        window=min(spec.max_inflight or limits.window, limits.max_window),
        frozen=spec.frozen,
        trained=check_update(
            spec.optimizer.update.main, params, _under(avals, "state"), spec.frozen
        ),
        leaves=tuple(sorted(avals.items(), key=lambda leaf: leaf[0])),
        init=canonical.digest(spec.optimizer.init),
        update=canonical.digest(spec.optimizer.update),
        graphs=tuple(dict.fromkeys(map(canonical.digest, spec.graphs))),
    )


def keep_graphs(home: Home, spec: CreateSpec) -> None:
    """Put the graphs of a Create into its home.

    Raises:
        Overloaded, Unavailable: the disk has no room for them.
    """
    for graph in (spec.optimizer.init, spec.optimizer.update, *spec.graphs):
        home.add_graph(canonical.digest(graph), graph)


def build(maker: Maker, home: Home, manifest: Manifest, arrays: dict[str, Array]) -> Journal:
    """Write log and both buffers of a new session into its home.

    Both buffers get everything: what no step writes is then right in either of them for good.

    Raises:
        OSError: the disk has no room for them.
    """
    disk = maker.disk
    log_fd = home.open("log", create=True)
    try:
        log = Log.create(disk, log_fd, manifest.session_id, 0, manifest.chain)
        state_fd = home.open("state", create=True)
        try:
            state = StateFile.create(disk, state_fd, manifest.layout)
            ledger = fresh_ledger(manifest, maker.limits)
            state.stamp(0, manifest.chain)
            for serial in (0, 1):
                state.write(serial, arrays.items())
                state.twins.update(arrays)
                header = StateHeader(
                    state.buffer_offset,
                    serial,
                    0,
                    0,
                    1,
                    0,
                    log.end,
                    0,
                    manifest.chain,
                    maker.boot_id,
                )
                state.write_header(header)
        except BaseException:
            disk.close(state_fd)
            raise
    except BaseException:
        disk.close(log_fd)
        raise
    return Journal(home, log, state, ledger, header, maker.boot_id)


def fresh_ledger(manifest: Manifest, limits: SessionLimits) -> Ledger:
    """Where a session stands before its first operation."""
    return Ledger(manifest.window, limits.replies_kept, 0, manifest.chain)


def _under(avals: dict[str, Aval], root: str) -> dict[str, Aval]:
    return {name: aval for name, aval in avals.items() if name.split("/")[0] == root}
