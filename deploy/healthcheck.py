"""Asks the server's health port whether it serves; exits 0 or 1. For the image's HEALTHCHECK.

The port is its own, on loopback and without TLS, so that a busy or a secured main port
never looks like a dead server.
"""

import os
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

ADDRESS = os.environ.get("CHAINRULE_HEALTH_LISTEN", "127.0.0.1:50052")
TIMEOUT_S = 4.0  # below the image's own limit of 5 s, so that the reason is printed


def main() -> int:
    """One `grpc.health.v1.Health/Check` of the whole server."""
    with grpc.insecure_channel(ADDRESS) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            reply = stub.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            sys.stderr.write(f"health: {ADDRESS}: {error.code().name}\n")
            return 1
    serving = reply.status == health_pb2.HealthCheckResponse.SERVING
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status)
    sys.stderr.write(f"health: {ADDRESS}: {status}\n")
    return 0 if serving else 1


if __name__ == "__main__":
    sys.exit(main())
