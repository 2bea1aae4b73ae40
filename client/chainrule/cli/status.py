"""`chainrule status`: what a server is and which sessions it holds."""

import argparse
import json
from dataclasses import asdict
from datetime import UTC, datetime

from chainrule.cli.screen import say, show_table
from chainrule.cli.server import remote_client_of
from chainrule.results import ServerInfo, SessionList, si

_TIMEOUT_S = 10.0


def run(options: argparse.Namespace) -> int:
    """Prints both."""
    with remote_client_of(options) as client:
        info = client.info(timeout_s=_TIMEOUT_S)
        sessions = client.sessions(timeout_s=_TIMEOUT_S)
        if options.json:
            record = {"address": client.address, "server": _plain(info)}
            say(json.dumps(record | {"sessions": [asdict(s) for s in sessions]}))
            return 0
        _show(client.address, info, sessions)
    return 0


def _show(address: str, info: ServerInfo, sessions: SessionList) -> None:
    say(f"{address}   chainrule {info.version}, up {_duration(info.uptime_s)}")
    say(
        f"  {info.workers} workers, NumPy {info.numerics.numpy_version}, {info.numerics.blas}"
        + (f" ({info.numerics.core_type})" if info.numerics.core_type else "")
    )
    say(
        f"  {len(info.primitives)} primitives, {len(info.functions)} library functions;"
        f" serves {', '.join(info.computations)}"
    )
    limits = info.limits
    say(
        f"  up to {limits['graph_nodes']:,} nodes a graph,"
        f" {si(limits['reserved_bytes'])}B in flight"
    )
    say()
    if not sessions:
        say("no sessions")
        return
    rows = [
        (
            s.id,
            s.name or "-",
            str(s.step),
            s.durability,
            datetime.fromtimestamp(s.created_at, UTC).strftime("%Y-%m-%d %H:%M"),
        )
        for s in sessions
    ]
    show_table(("session", "name", "step", "durability", "created (UTC)"), rows)


def _plain(info: ServerInfo) -> dict[str, object]:
    record = asdict(info)
    record["numerics"]["numerics_id"] = info.numerics.numerics_id.hex()
    return record


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
