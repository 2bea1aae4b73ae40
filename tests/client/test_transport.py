"""The channel against a real server that refuses, vanishes and comes back."""

import shutil
import subprocess
import threading
import time
from pathlib import Path

import grpc
import pytest

from chainrule.calls import GET_INFO, HAS
from chainrule.connection import TLS, Address
from chainrule.errors import (
    Cancelled,
    ErrorCode,
    Overloaded,
    ShapeMismatch,
    TLSConfigError,
    Unavailable,
    Unsupported,
)
from chainrule.proto.v1 import object_pb2, server_pb2
from chainrule.transport import FIRST_PAUSE_S, LAST_PAUSE_S, Backoff, Transport
from support.raw_server import RawServer

ASK = server_pb2.GetInfoRequest()


def info(data: bytes, context: grpc.ServicerContext) -> bytes:
    return server_pb2.GetInfoResponse(version="9").SerializeToString()


def connect(server: RawServer, **options: object) -> Transport:
    return Transport(Address.parse(server.address), **options)  # type: ignore[arg-type]


def test_a_call_brings_the_answer_and_carries_token_and_request_id() -> None:
    with RawServer({"GetInfo": info}).serving() as server:
        transport = connect(server, token="secret")
        assert transport.call(GET_INFO, ASK).version == "9"
        assert server.metadata["authorization"] == "Bearer secret"
        assert len(bytes.fromhex(str(server.metadata["x-request-id"]))) == 16
        transport.close()


def test_a_refusal_comes_back_as_the_same_exception_with_its_facts() -> None:
    def refuse(data: bytes, context: grpc.ServicerContext) -> bytes:
        raise ShapeMismatch(
            "inner axes 3 and 4 differ",
            node=7,
            label="h",
            line="model.py:12",
            cure="transpose one",
            request_id="ab" * 16,
        )

    with RawServer({"GetInfo": refuse}).serving() as server:
        transport = connect(server)
        with pytest.raises(ShapeMismatch) as caught:
            transport.call(GET_INFO, ASK)
        transport.close()
    error = caught.value
    assert str(error) == "node 7 (h) at model.py:12: inner axes 3 and 4 differ; transpose one"
    assert (error.node, error.line, error.request_id) == (7, "model.py:12", "ab" * 16)
    assert len(server.seen) == 1, "a refusal is never sent again"


def test_an_overloaded_server_is_asked_again_after_its_wish() -> None:
    tries: list[float] = []

    def second_time(data: bytes, context: grpc.ServicerContext) -> bytes:
        tries.append(time.monotonic())
        if len(tries) == 1:
            raise Overloaded("full", retry_after_s=0.15)
        return info(data, context)

    with RawServer({"GetInfo": second_time}).serving() as server:
        transport = connect(server)
        assert transport.call(GET_INFO, ASK).version == "9"
        transport.close()
    assert tries[1] - tries[0] >= 0.15


def test_a_restart_of_the_server_is_survived() -> None:
    server = RawServer({"GetInfo": info})
    with server.serving():
        transport = connect(server)
        transport.call(GET_INFO, ASK)
    answers: list[str] = []
    thread = threading.Thread(target=lambda: answers.append(transport.call(GET_INFO, ASK).version))
    thread.start()
    with server.serving():
        thread.join(timeout=20)
    assert answers == ["9"]
    transport.close()


def test_no_server_is_said_within_the_deadline() -> None:
    with RawServer({}).serving() as server:
        pass
    transport = connect(server)
    with pytest.raises(Unavailable, match=r"no server answers at 127\.0\.0\.1:\d+: .*chainrule"):
        transport.call(GET_INFO, ASK, timeout_s=0.3)
    transport.close()


def test_a_method_that_an_old_server_lacks_is_unsupported() -> None:
    with RawServer({"GetInfo": info}).serving() as server:
        transport = connect(server)
        with pytest.raises(Unsupported, match="doesn't serve Has; update the server"):
            transport.call(HAS, object_pb2.HasRequest())
        transport.close()


def test_a_closed_client_says_so() -> None:
    with RawServer({"GetInfo": info}).serving() as server:
        transport = connect(server)
        transport.close()
        with pytest.raises(Cancelled, match="the client is closed; connect again"):
            transport.call(GET_INFO, ASK)


def test_pauses_grow_from_50_ms_to_1_s_with_jitter() -> None:
    backoff, error = Backoff(), Unavailable("gone")
    pauses = [backoff.pause_s(error) for _ in range(12)]
    assert FIRST_PAUSE_S / 2 <= pauses[0] <= FIRST_PAUSE_S
    assert all(LAST_PAUSE_S / 2 <= pause <= LAST_PAUSE_S for pause in pauses[6:])
    assert len(set(pauses[6:])) > 1


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two self-signed certificates for localhost and 127.0.0.1: a and b."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificates, and isn't here")
    folder = tmp_path_factory.mktemp("certificates")
    for name in "ab":
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"]
        command += ["-subj", "/CN=localhost", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        command += ["-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.crt"]
        subprocess.run(command, check=True, capture_output=True)
    return folder


def server_credentials(folder: Path) -> grpc.ServerCredentials:
    pair = ((folder / "a.key").read_bytes(), (folder / "a.crt").read_bytes())
    return grpc.ssl_server_credentials([pair])


def test_a_secure_channel_takes_a_path_or_bytes(certificates: Path) -> None:
    for ca in (certificates / "a.crt", (certificates / "a.crt").read_bytes()):
        with RawServer({"GetInfo": info}).serving(server_credentials(certificates)) as server:
            transport = connect(server, tls=TLS(ca=ca))
            assert transport.call(GET_INFO, ASK).version == "9"
            transport.close()


@pytest.mark.parametrize("fault", ["wrong authority", "plain server", "wrong name"])
def test_a_secure_channel_that_can_never_be_is_not_retried(certificates: Path, fault: str) -> None:
    credentials = None if fault == "plain server" else server_credentials(certificates)
    ca = certificates / ("b.crt" if fault == "wrong authority" else "a.crt")
    name = "elsewhere.example" if fault == "wrong name" else None
    with RawServer({"GetInfo": info}).serving(credentials) as server:
        transport = connect(server, tls=TLS(ca=ca, server_name=name))
        with pytest.raises(TLSConfigError, match="no secure channel") as caught:
            transport.call(GET_INFO, ASK, timeout_s=60.0)
        transport.close()
    assert caught.value.code is ErrorCode.TLS_CONFIG
    assert server.seen == []


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    address = Address.parse("localhost:1")
    with pytest.raises(TLSConfigError, match=r"tls ca '.*absent\.crt' can't be read"):
        Transport(address, tls=TLS(ca=tmp_path / "absent.crt"))
    (tmp_path / "der.crt").write_bytes(b"\x30\x82")
    with pytest.raises(TLSConfigError, match="no PEM block; convert"):
        Transport(address, tls=TLS(ca=tmp_path / "der.crt"))
