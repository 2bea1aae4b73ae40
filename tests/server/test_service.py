"""Time, cancellation and TLS over real gRPC: what a call may take, and what is left when it ends early."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from chainrule import calls
from chainrule.ir.graph import Graph
from chainrule.proto.v1 import gradient_pb2 as pb
from chainrule.proto.v1 import server_pb2
from chainrule.wire.calls import wishes_to_proto
from chainrule.wire.graph import graph_to_proto
from chainrule.wire.records import Computation, Wish
from chainrule.wire.tensor import tensors_to_proto
from support.sample_graphs import article, endless
from support.serving import Scene, serving

WAIT_S = 60


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with serving(tmp_path_factory.mktemp("service")) as found:
        yield found


def value(graph: Graph, **fields: object) -> pb.ComputeRequest:
    return pb.ComputeRequest(
        graph=graph_to_proto(graph),
        feeds=tensors_to_proto({"args/0": np.array(0.5)}),
        wishes=wishes_to_proto([Wish(Computation.VALUE)]),
        **fields,  # type: ignore[arg-type]
    )


def is_idle(scene: Scene) -> bool:
    parts = scene.app.parts
    busy = any(worker.running for worker in parts.coordinator.pool.stats().workers)
    return not busy and parts.door.running.used == 0 and parts.door.arriving.used == 0


def until(condition: bool, said: str, deadline: float) -> bool:
    assert time.monotonic() < deadline, said
    return condition


def test_the_servers_own_deadline_ends_a_run_that_the_client_would_wait_for(scene: Scene) -> None:
    request = value(endless(), limits=pb.ComputeLimits(deadline_ms=500))
    refusal = scene.refusal(calls.COMPUTE, request)
    assert (refusal.status.name, refusal.reason) == ("DEADLINE_EXCEEDED", "DEADLINE")
    assert scene.answer(calls.COMPUTE, value(article())).finite
    assert is_idle(scene)


def test_a_deadline_that_has_passed_costs_no_work(scene: Scene) -> None:
    # In the past by more than the clock of gRPC, which counts milliseconds and may answer in one.
    refusal = scene.refusal(calls.COMPUTE, value(article()), timeout_s=-1.0)
    assert refusal.status is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_client_that_goes_away_takes_its_run_along(scene: Scene) -> None:
    method: grpc.UnaryUnaryMultiCallable[bytes, bytes]
    method = scene.channel.unary_unary(calls.COMPUTE.path)
    running = method.future(value(endless()).SerializeToString(), timeout=600)
    deadline = time.monotonic() + WAIT_S
    while not until(not is_idle(scene), "the run never began", deadline):
        scene.answer(calls.GET_INFO, server_pb2.GetInfoRequest())
    running.cancel()
    deadline = time.monotonic() + WAIT_S
    while not until(is_idle(scene), "the run went on", deadline):
        scene.answer(calls.GET_INFO, server_pb2.GetInfoRequest())
    assert scene.answer(calls.COMPUTE, value(article())).finite


def test_tls_carries_a_call_and_a_plain_client_gets_none(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate, and isn't here")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command += ["-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    with serving(tmp_path, tls_cert=cert, tls_key=key) as plain:
        refusal = plain.refusal(calls.GET_INFO, b"", timeout_s=20)
        assert refusal.status is grpc.StatusCode.UNAVAILABLE
        credentials = grpc.ssl_channel_credentials(cert.read_bytes())
        with grpc.secure_channel(plain.app.address, credentials) as channel:
            secure = Scene(plain.app, channel)
            assert secure.answer(calls.GET_INFO, server_pb2.GetInfoRequest()).workers == 1
