"""The composition root: the only place that constructs, starts and stops the parts of a server."""

import os
import secrets
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import grpc

from chainrule import calls
from chainrule.errors import Unavailable
from chainrule.ir.limits import DEFAULT, Limits
from chainrule_server.config import Settings
from chainrule_server.door.door import Bounds, Door
from chainrule_server.door.graphs import GraphStore
from chainrule_server.door.machine import core_limit, memory_limit
from chainrule_server.door.tokens import Tokens, read_token_file, single_token
from chainrule_server.service.checkpoints import CheckpointServicer
from chainrule_server.service.gradient import GradientServicer
from chainrule_server.service.handlers import Handlers, Servicer
from chainrule_server.service.info import Identity, ServerServicer
from chainrule_server.service.leases import Leases
from chainrule_server.service.leasing import LeaseServicer
from chainrule_server.service.listening import bind, make_server, server_credentials
from chainrule_server.service.numerics import numerics_here
from chainrule_server.service.objects import ObjectServicer
from chainrule_server.service.programs import Programs
from chainrule_server.service.runner import Runner
from chainrule_server.service.sessions import SessionServicer
from chainrule_server.service.standard import Health, add_reflection
from chainrule_server.service.verifying import VerifyServicer
from chainrule_server.service.wishes import SERVED
from chainrule_server.sessions.registry import SessionRegistry
from chainrule_server.storage.disk import LinuxDisk
from chainrule_server.storage.folder import DataFolder, Owner
from chainrule_server.storage.objects import ObjectStore
from chainrule_server.telemetry import Counters, logger
from chainrule_server.workers.coordinator import Coordinator
from chainrule_server.workers.nursery import Bounds as WorkerBounds
from chainrule_server.workers.pool import Pool

# Of the memory limit: the rest is for the interpreters, the log and what nobody foresaw.
_MEMORY_SHARE = 0.7
_HEALTH_THREADS = 4
_LOG = logger("app")


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the servicers are made of."""

    door: Door
    graphs: GraphStore
    store: ObjectStore
    programs: Programs
    coordinator: Coordinator
    sessions: SessionRegistry
    leases: Leases


class App:
    """One server.

        with App(settings) as app:
            ...                      # it serves at app.address
            app.drain()

    Args:
        settings: checked.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.address = settings.listen
        self.health_address = settings.health_listen
        self.counters = Counters()
        self._health = Health()
        self._stack = ExitStack()

    def __enter__(self) -> "App":
        """Start everything, in the order in which parts need each other.

        Raises:
            ChainruleError: a folder or port that somebody else holds, a file that isn't what it should be.
        """
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()
        _LOG.info("stopped", address=self.address)

    def drain(self) -> None:
        """Say NOT_SERVING, take no more calls, let those inside end within the grace."""
        grace_s = self.settings.grace_s
        _LOG.info("drain", address=self.address, grace_s=grace_s)
        self._health.drain()
        self.parts.door.close()
        deadline = time.monotonic() + grace_s
        stopped = self._server.stop(grace_s)
        self.parts.sessions.drain(deadline)
        stopped.wait(grace_s)

    def _start(self) -> None:
        settings = self.settings
        started = time.monotonic()
        tokens = read_tokens(settings)
        credentials = None
        if settings.tls_cert and settings.tls_key:
            credentials = server_credentials(settings.tls_cert, settings.tls_key)
        owner = Owner(os.getpid(), datetime.now(UTC).isoformat(timespec="seconds"), self.address)
        disk = LinuxDisk()
        folder = DataFolder(settings.data_dir, disk, owner)
        self._stack.callback(folder.close)
        # Ports before workers: the second server of a machine should say so at once.
        self._server = make_server(settings.threads)
        self.address = bind(self._server, settings.listen, credentials)
        folder.announce(replace(owner, address=self.address))
        self._stack.callback(self._stop_server)
        bounds = bounds_of(settings)
        workers = settings.workers or core_limit()
        # What the door lets in is what a worker may take: a wrong plan ends in an error, not in swap.
        grant = WorkerBounds(grant_bytes=bounds.nbytes)
        pool = self._stack.enter_context(Pool(workers, bounds=grant))
        self.parts = self._compose(folder, disk, pool, bounds, tokens)
        self._serve(workers, bounds, started, folder.boot_id)
        self._health.set_serving(True)
        _LOG.info(
            "serving",
            address=self.address,
            health=self.health_address,
            pid=os.getpid(),
            workers=workers,
            data_dir=str(settings.data_dir),
            tls=credentials is not None,
            tokens=len(tokens.entries),
            bytes=bounds.nbytes,
            seconds=round(time.monotonic() - started, 3),
        )

    def _compose(
        self, folder: DataFolder, disk: LinuxDisk, pool: Pool, bounds: Bounds, tokens: Tokens
    ) -> _Parts:
        coordinator = Coordinator(pool, board_bytes=bounds.nbytes)
        self._stack.callback(coordinator.close)
        store = ObjectStore(folder.of_tenant, disk, quota_bytes=self.settings.object_quota_bytes)
        self._numerics = numerics_here()
        programs = Programs(self._numerics.numerics_id)
        graphs = GraphStore(bounds.graph)
        sessions = SessionRegistry(folder, store, programs, coordinator, graphs=graphs.find)
        self._stack.callback(sessions.close)
        door = Door(tokens, bounds)
        leases = Leases(door.running)
        self._stack.callback(leases.close)
        return _Parts(door, graphs, store, programs, coordinator, sessions, leases)

    def _serve(self, workers: int, bounds: Bounds, started: float, boot_id: bytes) -> None:
        identity = Identity(
            instance_id=secrets.token_bytes(16),
            boot_id=boot_id,
            started=started,
            workers=workers,
            is_private=self.settings.client_pidfd is not None,
            numerics=self._numerics,
            object_quota_bytes=self.settings.object_quota_bytes,
        )
        servicers = _servicers(self.parts, identity, bounds)
        handlers = Handlers(self.parts.door, servicers, self.counters)
        self._server.add_generic_rpc_handlers((handlers,))
        self._health.add_to(self._server)
        if self.settings.has_reflection:
            add_reflection(self._server)
        if self.settings.health_listen != "off":
            health = make_server(_HEALTH_THREADS)
            self._health.add_to(health)
            self.health_address = bind(health, self.settings.health_listen, None)
            health.start()
            self._stack.callback(_stop_now, health)
        self._server.start()

    def _stop_server(self) -> None:
        _stop_now(self._server)


def read_tokens(settings: Settings) -> Tokens:
    """The tokens of the settings: a file, the pipe of a private server, or none.

    Raises:
        ValueError: a file that holds no tokens, or an empty pipe.
    """
    if settings.token_fd is not None:
        with os.fdopen(settings.token_fd, "rb") as pipe:
            token = pipe.readline(4096).decode("ascii", "replace").strip()
        if not token:
            raise ValueError(
                f"--token-fd {settings.token_fd}: nothing to read; write the token first"
            )
        return single_token(token)
    return read_token_file(settings.token_file) if settings.token_file else Tokens()


def bounds_of(settings: Settings) -> Bounds:
    """What the door lets in, from settings and machine."""
    nodes = settings.max_nodes
    graph = Limits(nodes=nodes, edges=max(DEFAULT.edges, 10 * nodes))
    return Bounds(
        graph=graph,
        nbytes=settings.max_bytes or int(_MEMORY_SHARE * memory_limit()),
        threads=settings.threads,
        slots=2 * (settings.workers or core_limit()),
    )


def private_folder(settings: Settings) -> Path | None:
    """The folder that goes with a private server: where its socket lies, if its client made it."""
    if settings.client_pidfd is None or not settings.listen.startswith("unix:"):
        return None
    folder = Path(settings.listen.removeprefix("unix:")).parent
    found = folder.stat()
    is_ours = found.st_uid == os.getuid() and found.st_mode & 0o777 == 0o700
    return folder if is_ours and folder.name.startswith("chainrule-") else None


def _servicers(parts: _Parts, identity: Identity, bounds: Bounds) -> dict[str, Servicer]:
    computations = tuple(c.name.lower() for c in SERVED)
    info = ServerServicer(identity, bounds, computations)
    runner = Runner(parts.door, parts.graphs, parts.coordinator, parts.store, identity.numerics)
    leasing = LeaseServicer(runner, parts.programs, parts.leases)
    gradient = GradientServicer(runner, parts.programs, leasing.open)
    session = SessionServicer(parts.sessions, parts.graphs, parts.store, identity.numerics)
    checkpoint = CheckpointServicer(session, parts.sessions)
    objects = ObjectServicer(parts.store)
    return {
        calls.GET_INFO.path: info.get_info,
        calls.REGISTER.path: gradient.register,
        calls.COMPUTE.path: gradient.compute,
        calls.ESTIMATE.path: gradient.estimate,
        calls.EXPLAIN.path: gradient.explain,
        calls.DERIVE.path: leasing.derive,
        calls.RELEASE.path: leasing.release,
        calls.VERIFY.path: VerifyServicer(runner, parts.programs).verify,
        calls.CREATE.path: session.create,
        calls.OPEN.path: session.open,
        calls.STEP.path: session.step,
        calls.FORWARD_BACKWARD.path: session.forward_backward,
        calls.OPTIM_STEP.path: session.optim_step,
        calls.DISCARD_GRADIENTS.path: session.discard_gradients,
        calls.SET_STATE.path: session.set_state,
        calls.SAVE.path: checkpoint.save,
        calls.RESTORE.path: checkpoint.restore,
        calls.LIST_CHECKPOINTS.path: checkpoint.list_checkpoints,
        calls.FORK.path: session.fork,
        calls.GET_LOG.path: session.get_log,
        calls.EVALUATE.path: session.evaluate,
        calls.GET_STATE.path: session.get_state,
        calls.LIST.path: session.list,
        calls.CLOSE.path: session.close,
        calls.HAS.path: objects.has,
        calls.PUT.path: objects.put,
        calls.QUERY_UPLOAD.path: objects.query_upload,
        calls.GET.path: objects.get,
    }


def _stop_now(server: grpc.Server) -> None:
    if not server.stop(0).wait(10.0):
        raise Unavailable("the gRPC server didn't stop within 10 s")
