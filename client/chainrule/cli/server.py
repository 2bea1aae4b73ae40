"""The server that a command's options name."""

import argparse
import os

from chainrule.client import Client
from chainrule.connecting import connect
from chainrule.errors import Retry, Unavailable


def client_of(options: argparse.Namespace) -> Client:
    """A client of the server in the options or the environment, otherwise of a private one."""
    return connect(options.address, token=options.token, tls=options.tls_ca)


def remote_client_of(options: argparse.Namespace) -> Client:
    """The same, where a private server would make no sense.

    Raises:
        Unavailable: no address is given.
    """
    address = options.address or os.environ.get("CHAINRULE_ADDRESS")
    if not address or address == "local":
        raise Unavailable(
            "no server is named",
            cure="give --address HOST:PORT, or set CHAINRULE_ADDRESS",
            retry=Retry.FIX,
        )
    return client_of(options)
