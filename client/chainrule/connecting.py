"""`connect`: a client of a server, or of one of its own."""

import os
import time

from chainrule.client import Client
from chainrule.connection import TLS, Address, Secret, tls_of
from chainrule.errors import ChainruleError, ErrorCode, GraphError, Retry, ServerFault
from chainrule.local import PrivateServer
from chainrule.transport import Transport

# A private server starts its workers and warms up BLAS before it answers.
_START_S = 60.0
_START_PAUSE_S = 0.02


def connect(
    address: str | None = None,
    *,
    token: str | None = None,
    tls: TLS | Secret | bool | None = None,
    workers: int | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    timeout_s: float = 60.0,
) -> Client:
    """A client of a server, or of a private one that lives as long as the client.

    Args:
        address: `host:port` or `unix:/path` of a server, or "local" for a private one. None takes
            CHAINRULE_ADDRESS where that is set, otherwise "local".
        token: what the server's token file asks for; None takes CHAINRULE_TOKEN.
        tls: for a secure channel: the path or the PEM bytes of the CA that signed the server's
            certificate, True for public authorities, or a `cr.TLS`. None takes CHAINRULE_TLS_CA.
        workers: worker processes of a private server; None: one a core.
        data_dir: where a private server keeps its sessions; None: nowhere, they go with it.
        timeout_s: of calls that name none themselves.

    Raises:
        Unavailable: the address has no such form.
        TLSConfigError: a certificate can't be read.
        Unsupported: a private server, and this is not Linux.
        ServerFault: the private server didn't start; the text holds its log.
    """
    address = address or os.environ.get("CHAINRULE_ADDRESS") or "local"
    if address == "local":
        server = PrivateServer(workers, data_dir)
        transport = Transport(Address.parse(server.address), server.token)
        client = Client(transport, server=server, timeout_s=timeout_s)
        try:
            _wait_until_up(client, server)
        except BaseException:
            client.close()
            raise
        return client
    if workers is not None or data_dir is not None:
        raise GraphError(
            f"workers and data_dir are for a private server, and the address is {address}",
            code=ErrorCode.BAD_FIELD,
            cure='give them to `chainrule serve`, or connect("local")',
        )
    token = token or os.environ.get("CHAINRULE_TOKEN") or None
    certificates = tls_of(tls if tls is not None else os.environ.get("CHAINRULE_TLS_CA") or None)
    return Client(Transport(Address.parse(address), token, certificates), timeout_s=timeout_s)


def _wait_until_up(client: Client, server: PrivateServer) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        server.check_alive()
        try:
            client.info(timeout_s=1.0)
            return
        except ChainruleError as error:
            if error.retry not in (Retry.SAME_BYTES, Retry.AFTER):
                raise
            last = error
        if time.monotonic() > deadline:
            raise ServerFault(
                f"the private server didn't answer within {_START_S:.0f} s: {last.fact}",
                cure="run `chainrule doctor`",
            )
        client.pause(_START_PAUSE_S)
