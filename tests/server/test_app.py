"""A whole server: start, refusal, drain, end."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from chainrule import calls
from chainrule.errors import TLSConfigError, Unavailable
from chainrule.proto.v1 import server_pb2
from chainrule.wire.records import Computation
from chainrule_server.app import App, bounds_of, private_folder
from support.server_process import WAIT_S, server_process
from support.serving import Scene, serving, settings_for
from support.session_requests import create_request, step_request

SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with serving(tmp_path_factory.mktemp("app"), health_listen="127.0.0.1:0") as found:
        yield found


def health(address: str, service: str = "") -> int:
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        return int(stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=30).status)


def test_health_answers_on_the_main_port_and_on_its_own(scene: Scene) -> None:
    assert scene.app.health_address != scene.app.address
    for address in (scene.app.address, scene.app.health_address):
        assert health(address) == SERVING
        assert health(address, "chainrule.v1.GradientService") == SERVING


def test_the_health_port_serves_nothing_else(scene: Scene) -> None:
    with grpc.insecure_channel(scene.app.health_address) as channel:
        method: grpc.UnaryUnaryMultiCallable[bytes, bytes]
        method = channel.unary_unary(calls.GET_INFO.path)
        with pytest.raises(grpc.RpcError) as failure:
            method(b"", timeout=30)
    assert failure.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_names_the_services_in_both_versions(scene: Scene, version: str) -> None:
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    method: grpc.StreamStreamMultiCallable[bytes, bytes]
    method = scene.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    )
    (answer,) = list(method(iter([request.SerializeToString()]), timeout=30))
    reply = reflection_pb2.ServerReflectionResponse.FromString(answer)
    names = {service.name for service in reply.list_services_response.service}
    assert {"chainrule.v1.GradientService", "chainrule.v1.SessionService"} <= names


def test_info_says_what_the_server_allows(scene: Scene) -> None:
    info = scene.answer(calls.GET_INFO, server_pb2.GetInfoRequest())
    assert info.workers == 1
    assert info.limits.message_bytes == calls.MESSAGE_BYTES
    assert len(info.instance_id) == len(info.boot_id) == 16
    assert len(info.primitives_digest) == 32
    assert "MatMul" in info.primitives
    assert set(info.computations) == {c.name.lower() for c in Computation}
    assert not info.private


def test_a_second_server_on_a_port_names_who_has_it(scene: Scene, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, listen=scene.app.address)
    with pytest.raises(Unavailable, match=f"pid {os.getpid()}"), App(settings):
        pass


def test_a_second_server_on_a_folder_names_who_has_it(scene: Scene, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, data_dir=scene.app.settings.data_dir)
    with (
        pytest.raises(Unavailable, match=f"pid {os.getpid()} at {scene.app.address}"),
        App(settings),
    ):
        pass


def test_a_refused_start_gives_everything_back(scene: Scene, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, listen=scene.app.address)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(Unavailable), App(settings):
        pass
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1
    with serving(tmp_path) as other:
        assert health(other.app.address) == SERVING


def test_a_unix_socket_is_served_and_not_taken_from_its_owner(tmp_path: Path) -> None:
    listen = f"unix:{tmp_path}/s"
    with serving(tmp_path, listen=listen) as first:
        assert first.answer(calls.GET_INFO, server_pb2.GetInfoRequest()).workers == 1
        assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600
        settings = settings_for(tmp_path / "other", listen=listen)
        with pytest.raises(Unavailable, match="listens"), App(settings):
            pass
        assert first.answer(calls.GET_INFO, server_pb2.GetInfoRequest()).workers == 1


def test_a_certificate_that_is_none_is_named(tmp_path: Path) -> None:
    for name in ("cert", "key"):
        (tmp_path / name).write_text("no PEM")
    settings = settings_for(tmp_path, tls_cert=tmp_path / "cert", tls_key=tmp_path / "key")
    with pytest.raises(TLSConfigError, match="--tls-cert"), App(settings):
        pass


def test_bytes_come_from_the_machine_unless_given(tmp_path: Path) -> None:
    assert bounds_of(settings_for(tmp_path, max_bytes=1000)).nbytes == 1000
    assert bounds_of(settings_for(tmp_path, max_bytes=0)).nbytes > 2**20
    assert bounds_of(settings_for(tmp_path, max_nodes=50_000)).graph.nodes == 50_000


def test_only_a_private_servers_own_folder_goes_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "chainrule-x"
    folder.mkdir(mode=0o700)
    private = {"client_pidfd": 3, "listen": f"unix:{folder}/s"}
    assert private_folder(settings_for(tmp_path, **private)) == folder
    assert private_folder(settings_for(tmp_path, listen=f"unix:{folder}/s")) is None
    folder.chmod(0o755)
    assert private_folder(settings_for(tmp_path, **private)) is None


@pytest.mark.slow
def test_sigterm_drains_and_exits_0(tmp_path: Path) -> None:
    with server_process(tmp_path) as server:
        event = server.until("serving")
        assert health(event["health"]) == SERVING
        server.terminate()
        code, _ = server.end()
        assert code == 0
        events = [line["event"] for line in server.log]
        assert events[-2:] == ["drain", "stopped"] or "drain" in events


@pytest.mark.faults
def test_a_second_sigterm_exits_at_once(tmp_path: Path) -> None:
    with server_process(tmp_path, "--grace-s", "600") as server:
        address = server.until("serving")["address"]
        with grpc.insecure_channel(address) as channel:
            create: grpc.UnaryUnaryMultiCallable[bytes, bytes]
            create = channel.unary_unary(calls.CREATE.path)
            made = calls.CREATE.decode_reply(
                create(create_request().SerializeToString(), timeout=60)
            )
            # Operation 2 waits for operation 1, which never comes: the drain has something to wait for.
            step: grpc.UnaryUnaryMultiCallable[bytes, bytes]
            step = channel.unary_unary(calls.STEP.path)
            request = step_request(made.head, np.ones((2, 3)), bytes(32), 2)
            held = step.future(request.SerializeToString(), timeout=600)
            server.terminate()
            server.until("drain")
            server.terminate()
            assert server.end()[0] == 128 + signal.SIGTERM
            held.cancel()


@pytest.mark.faults
def test_a_private_server_goes_with_its_client_and_takes_the_folder_along(tmp_path: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="chainrule-"))
    client = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    pidfd = os.pidfd_open(client.pid)
    reader, writer = os.pipe()
    os.write(writer, secrets.token_urlsafe(32).encode() + b"\n")
    os.close(writer)
    options = ["--listen", f"unix:{folder}/s", "--data-dir", str(folder / "data")]
    options += ["--health-listen", "off", "--token-fd", str(reader), "--client-pidfd", str(pidfd)]
    try:
        with server_process(tmp_path, *options, pass_fds=(reader, pidfd)) as server:
            server.until("serving")
            client.kill()
            client.wait(WAIT_S)
            assert server.end()[0] == 0
            assert not folder.exists()
    finally:
        os.close(reader)
        os.close(pidfd)
        client.communicate()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_a_wrong_option_exits_2_and_a_taken_folder_1(tmp_path: Path) -> None:
    with server_process(tmp_path, "--workers", "x") as server:
        code, said = server.end()
        assert code == 2
        assert "--workers" in said
    with server_process(tmp_path) as first:
        first.until("serving")
        with server_process(tmp_path) as second:
            code, said = second.end()
        assert code == 1
        assert f"pid {first.process.pid}" in said


@pytest.mark.slow
def test_a_made_token_is_printed_with_its_line() -> None:
    command = [sys.executable, "-m", "chainrule_server", "--make-token"]
    run = subprocess.run([*command, "lab"], capture_output=True, text=True, check=True)
    assert "lab:" in run.stdout
    wrong = subprocess.run([*command, "a b"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
