"""Where a server is and how to reach it safely; and what a failed connection means."""

import re
from dataclasses import dataclass
from pathlib import Path

import grpc

from chainrule.errors import (
    Applied,
    Cancelled,
    ChainruleError,
    DeadlineExceeded,
    ErrorCode,
    Overloaded,
    PermissionDenied,
    ResponseTooLarge,
    Retry,
    ServerFault,
    TLSConfigError,
    Unauthenticated,
    Unavailable,
    Unsupported,
)

DEFAULT_PORT = 50051
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9_.-]+)(?::(?P<port>\d{1,5}))?\Z")
_LOOPBACK = ("localhost", "127.", "[::1]")
# gRPC has one status for every connection that didn't come about; only its text tells these apart.
_HANDSHAKE = re.compile(r"ssl|tls|certificate|handshake|peer name|hostname verification", re.I)
_REFUSED = re.compile(r"refused|no such file|resolution|resolving|lookup|dns|unreachable", re.I)
_LARGER = re.compile(r"received message larger than max", re.I)

Secret = str | Path | bytes


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens.

    Attributes:
        target: as gRPC wants it, `localhost:50051` or `unix:/run/chainrule.sock`.
    """

    target: str

    @classmethod
    def parse(cls, text: str) -> "Address":
        """`host`, `host:port`, `[::1]:port` or `unix:/path`.

        Raises:
            Unavailable: no such form.
        """
        if text.startswith("unix:"):
            return cls(text)
        found = _HOST.match(text.strip().removeprefix("grpc://"))
        port = int(found["port"] or DEFAULT_PORT) if found else 0
        if not found or not 0 < port < 65_536:
            raise Unavailable(
                f"address {text!r} is neither host:port nor unix:/path",
                cure="write it as localhost:50051",
                retry=Retry.FIX,
            )
        return cls(f"{found['host']}:{port}")

    @property
    def is_local(self) -> bool:
        """On this machine, so that no proxy may get between."""
        return self.target.startswith(("unix:", *_LOOPBACK))

    def __str__(self) -> str:
        return self.target


@dataclass(frozen=True, slots=True)
class TLS:
    """Certificates of a secure channel; each a path, or PEM as bytes.

    Attributes:
        ca: who may sign the server's certificate; None: the roots that gRPC brings.
        cert, key: the client's own, where the server asks for one.
        server_name: the name in the server's certificate, where it isn't the address.
    """

    ca: Secret | None = None
    cert: Secret | None = None
    key: Secret | None = None
    server_name: str | None = None


def tls_of(tls: "TLS | Secret | bool | None") -> TLS | None:
    """What `connect(tls=...)` means: True for public roots, a path or PEM for a CA of one's own."""
    if tls is None or tls is False:
        return None
    if tls is True:
        return TLS()
    return tls if isinstance(tls, TLS) else TLS(ca=tls)


def credentials(tls: TLS) -> grpc.ChannelCredentials:
    """gRPC's credentials of the certificates.

    Raises:
        TLSConfigError: a file that can't be read or holds no PEM, or a certificate without its key.
    """
    if (tls.cert is None) != (tls.key is None):
        raise TLSConfigError(
            "a client certificate comes with its key; only one of cert and key is given",
            cure="give both or neither",
            retry=Retry.FIX,
        )
    return grpc.ssl_channel_credentials(
        _pem(tls.ca, "ca"), _pem(tls.key, "key"), _pem(tls.cert, "cert")
    )


def _pem(secret: Secret | None, what: str) -> bytes | None:
    if secret is None:
        return None
    if isinstance(secret, bytes):
        data, name = secret, "the bytes given"
    else:
        name = str(secret)
        try:
            data = Path(secret).read_bytes()
        except OSError as error:
            raise TLSConfigError(
                f"tls {what} {name!r} can't be read: {error.strerror}",
                cure="give the path of a PEM file, or its contents as bytes",
                retry=Retry.FIX,
            ) from None
    if b"-----BEGIN " not in data:
        raise TLSConfigError(
            f"tls {what}: {name} hold no PEM block",
            cure="convert it to PEM: openssl x509 -inform der -in FILE -out FILE.pem",
            retry=Retry.FIX,
        )
    return data


def channel_error(
    code: grpc.StatusCode,
    details: str,
    *,
    address: Address,
    method: str,
    timeout_s: float,
    secure: bool,
    was_ready: bool,
    closed: bool,
) -> ChainruleError:
    """The exception for a status that carries no detail of ours.

    Args:
        code, details: as gRPC gives them.
        address, method, timeout_s: of the call.
        secure: the channel is a TLS one.
        was_ready: the server has answered on this channel before.
        closed: the client was closed meanwhile.
    """
    match code:
        case grpc.StatusCode.UNAVAILABLE:
            return _unavailable(details, address, secure, was_ready)
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineExceeded(
                f"{method} got no answer from {address} within {timeout_s:.3g} s",
                cure="pass a larger timeout_s=, or see what the server does: chainrule status",
                retry=Retry.SAME_BYTES,
                applied=Applied.UNKNOWN,
            )
        case grpc.StatusCode.CANCELLED:
            cure = "connect again" if closed else "call again"
            return Cancelled(f"{method} was cancelled", cure=cure, applied=Applied.UNKNOWN)
        case grpc.StatusCode.UNAUTHENTICATED:
            return Unauthenticated(details or "no valid token", cure="pass token=")
        case grpc.StatusCode.PERMISSION_DENIED:
            return PermissionDenied(details or f"{method} is not allowed with this token")
        case grpc.StatusCode.UNIMPLEMENTED:
            return Unsupported(
                f"the server at {address} doesn't serve {method}",
                cure="update the server, or check that the address is a chainrule server",
            )
        case grpc.StatusCode.RESOURCE_EXHAUSTED if _LARGER.search(details):
            return ResponseTooLarge(
                f"the answer of {method} is larger than this client takes",
                cure="ask for less at once",
            )
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return Overloaded(details, code=ErrorCode.OVERLOADED)
    return ServerFault(
        f"{method} ended with {code.name}: {details}",
        cure="look for the request id in the server's log",
        applied=Applied.UNKNOWN,
    )


def _unavailable(details: str, address: Address, secure: bool, was_ready: bool) -> ChainruleError:
    if secure and not was_ready and _HANDSHAKE.search(details) and not _REFUSED.search(details):
        return TLSConfigError(
            f"no secure channel to {address}: {_last_error(details)}",
            cure="check that tls= is the CA that signed the server's certificate, that the "
            "certificate names this address, and that the server uses TLS",
            retry=Retry.FIX,
        )
    if was_ready:
        return Unavailable(
            f"the server at {address} went away: {_last_error(details)}",
            cure="the client comes back to it by itself once it runs again",
            applied=Applied.UNKNOWN,
        )
    plain = "" if secure or _REFUSED.search(details) else ", and pass tls= if the server uses TLS"
    return Unavailable(
        f"no server answers at {address}: {_last_error(details)}",
        cure=f"start one with `chainrule serve`, or check the address{plain}",
    )


def _last_error(details: str) -> str:
    """The end of gRPC's chain of causes, which is the one that a user can do something about."""
    text = details.rpartition("last error: ")[2].removeprefix("UNKNOWN: ")
    text = re.sub(r"^(ipv[46]|unix):\S*?: ", "", text)
    return text[:300] or "no reason given"
