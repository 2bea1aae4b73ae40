"""Ports: binding them, saying who else holds them, and the options of gRPC."""

import os
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import grpc

from chainrule.calls import KIB, MESSAGE_BYTES
from chainrule.errors import Retry, TLSConfigError, Unavailable

_UNIX = "unix:"
_TCP_LISTEN = "0A"


def make_server(threads: int) -> grpc.Server:
    """A server without ports: synchronous, raw bytes, as many calls as threads."""
    return grpc.server(
        ThreadPoolExecutor(threads, thread_name_prefix="call"),
        # Equal, so that nothing waits unseen in the executor; the queue is the door's.
        maximum_concurrent_rpcs=threads,
        options=[
            # With port sharing a second server would silently take half of the calls.
            ("grpc.so_reuseport", 0),
            # The bounds by call are the door's; this one only keeps larger ones from being read.
            ("grpc.max_receive_message_length", MESSAGE_BYTES + 64 * KIB),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_metadata_size", 16 * KIB),
            ("grpc.keepalive_time_ms", 20_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ],
    )


def bind(server: grpc.Server, listen: str, tls: grpc.ServerCredentials | None) -> str:
    """Add a port and give the address that it got.

    Args:
        server: not started.
        listen: HOST:PORT, where port 0 takes a free one, or unix:/PATH.
        tls: credentials; None: a plain port.

    Raises:
        Unavailable: somebody else listens there; the text names the process.
    """
    if listen.startswith(_UNIX):
        _check_socket(Path(listen.removeprefix(_UNIX)))
    try:
        if tls is None:
            port = server.add_insecure_port(listen)
        else:
            port = server.add_secure_port(listen, tls)
    except RuntimeError:
        port = 0
    if not port:
        raise Unavailable(
            f"{listen} can't be bound: {_holder(listen)}",
            cure="stop that process, or give another --listen",
            retry=Retry.FIX,
        )
    if listen.startswith(_UNIX):
        with suppress(OSError):
            os.chmod(listen.removeprefix(_UNIX), 0o600)
        return listen
    return f"{listen.rpartition(':')[0]}:{port}"


def server_credentials(cert: Path, key: Path) -> grpc.ServerCredentials:
    """Credentials of PEM files.

    Raises:
        TLSConfigError: a file that can't be read, or certificate and key that don't belong together.
    """
    try:
        # gRPC would only say that the port can't be bound.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key)
        pair = (key.read_bytes(), cert.read_bytes())
    except (OSError, ssl.SSLError) as error:
        raise TLSConfigError(
            f"--tls-cert {cert} with --tls-key {key}: {error}",
            cure="give a PEM certificate chain and its unencrypted private key",
            retry=Retry.FIX,
        ) from None
    return grpc.ssl_server_credentials([pair])


def _check_socket(path: Path) -> None:
    """gRPC unlinks a socket that is in its way, also one that is in use."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return
    raise Unavailable(
        f"a server listens at unix:{path}",
        cure="stop it, or give another --listen",
        retry=Retry.FIX,
    )


def _holder(listen: str) -> str:
    """Who listens on a TCP port of this machine, as far as this user may see."""
    port = int(listen.rpartition(":")[2]) if not listen.startswith(_UNIX) else 0
    inodes = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not inodes:
        return "the address is not this machine's, or may not be used"
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            for fd in (process / "fd").iterdir():
                if os.readlink(fd) in inodes:
                    title = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    return f"pid {process.name} ({title.strip()[:100]}) listens there"
    return "another user's process listens there"


def _listening_inodes(port: int) -> set[str]:
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _TCP_LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(fields[9])
    return found
