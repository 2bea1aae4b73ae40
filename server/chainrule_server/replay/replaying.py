"""Does a session's log again on a copy: confirms every receipt, or names the first difference.

The oldest snapshot that is kept is where it begins. The data folder is only read; it may be a backup, or that
of a server that runs.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from chainrule.errors import ChainruleError, NotFound, Unsupported
from chainrule_server import telemetry
from chainrule_server.service.numerics import numerics_here
from chainrule_server.service.programs import Programs
from chainrule_server.sessions.manifest import Manifest, decode_manifest
from chainrule_server.sessions.registry import SessionRegistry
from chainrule_server.sessions.types import Caller, Durability, Head, StateSpec
from chainrule_server.storage.disk import LinuxDisk
from chainrule_server.storage.folder import DataFolder, Owner
from chainrule_server.storage.objects import ObjectStore
from chainrule_server.workers.coordinator import Coordinator
from chainrule_server.workers.pool import Pool

# Left out of the copy: it is what is made again.
_STATE = ("state", "state.new", "base", "origin")
_PATIENCE_S = 24 * 3600.0


class _Copy(DataFolder):
    """A data folder whose tenants are known by the names of their folders."""

    def of_tenant(self, kind: str, tenant: str) -> Path:
        return self.path / kind / tenant


def main(argv: Sequence[str]) -> int:
    """The command; 0: confirmed, 1: it differs or can't be done."""
    parser = argparse.ArgumentParser(prog="chainrule replay", description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", required=True, type=Path, help="the server's data folder")
    parser.add_argument("--workers", type=int, default=1, help="worker processes (default 1)")
    parser.add_argument("session", help="its id, or its name")
    options = parser.parse_args(argv)
    telemetry.configure("error", sys.stderr)
    try:
        first, head = replay(options.data_dir, options.session, options.workers)
    except ChainruleError as error:
        sys.stderr.write(f"chainrule replay: {error}\n")
        return 1
    sys.stdout.write(
        f"operations {first + 1} to {head.next_seq - 1} done again: every loss, norm and receipt is"
        f" the same\nreceipt {head.chain.hex()}\n"
    )
    return 0


def replay(data_dir: Path, session: str, workers: int) -> tuple[int, Head]:
    """The operation after which it began, and where the session stands in the end.

    Raises:
        NotFound: no such session in this folder.
        Unsupported: a session that keeps no batches.
        NumericsChanged: this machine or version computes otherwise.
        CorruptCheckpoint: the first operation that differs from its record, or a batch that is gone.
    """
    path, manifest = _found(data_dir, session)
    if manifest.durability is not Durability.DISK:
        raise Unsupported(
            f"the session has durability {manifest.durability.name.lower()} and keeps no batches",
            cure="create sessions that are to be replayed with durability disk",
        )
    tenant = path.parent.name
    with tempfile.TemporaryDirectory(prefix="chainrule-replay-") as scratch:
        copy = Path(scratch) / "sessions" / tenant / path.name
        shutil.copytree(path, copy, ignore=shutil.ignore_patterns(*_STATE))
        held = data_dir / "checkpoints" / tenant
        if held.exists():
            shutil.copytree(held, Path(scratch) / "checkpoints" / tenant)
        first, *later = sorted(int(p.name) for p in (copy / "snapshots").iterdir())
        for seq in later:
            shutil.rmtree(copy / "snapshots" / f"{seq:020d}")
        head = _redone(Path(scratch), tenant, manifest.session_id, workers)
    return first, head


def _redone(scratch: Path, tenant: str, session_id: bytes, workers: int) -> Head:
    disk = LinuxDisk()
    folder = _Copy(scratch, disk, Owner(os.getpid(), "", "a replay"))
    try:
        with Pool(workers) as pool:
            coordinator = Coordinator(pool)
            objects = ObjectStore(folder.of_tenant, disk, quota_bytes=1 << 40)
            programs = Programs(numerics_here().numerics_id)
            registry = SessionRegistry(
                folder, objects, programs, coordinator, graphs=lambda tenant, digest: None
            )
            try:
                caller = Caller(tenant, time.monotonic() + _PATIENCE_S)
                # Its state is missing, so that whoever asks for it first has it done again.
                return registry.get_state(caller, StateSpec(session_id, ("no leaf",))).head
            finally:
                registry.close()
                coordinator.close()
    finally:
        folder.close()


def _found(data_dir: Path, session: str) -> tuple[Path, Manifest]:
    for path in sorted(data_dir.glob("sessions/*/*/manifest")):
        manifest = decode_manifest(path.read_bytes())
        if session in (manifest.session_id.hex(), manifest.name or None):
            return path.parent, manifest
    raise NotFound(f"no session {session[:64]!r} in {data_dir}", cure="give its id or its name")
