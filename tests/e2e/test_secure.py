"""TLS and tokens, against a real server with real certificates."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from support.server_process import server_process

SUBJECT = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


@dataclass(frozen=True)
class Secure:
    """A server with TLS and tokens: its address, a token that it knows, and where certificates lie."""

    address: str
    token: str
    folder: Path


def certificate(folder: Path, name: str) -> None:
    target = ["-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.crt")]
    command = ["openssl", "req", "-x509", "-days", "2", *KEY, *SUBJECT, *target]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificates, and isn't here")
    folder = tmp_path_factory.mktemp("secure")
    certificate(folder, "server")
    certificate(folder, "other")
    server = [sys.executable, "-P", "-m", "chainrule_server"]
    made = subprocess.run(
        [*server, "--make-token", "ada"], check=True, capture_output=True, text=True
    ).stdout
    found = re.search(r"nowhere\): (\S+)\nline for --token-file: (\S+)", made)
    assert found is not None, made
    (folder / "tokens").write_text(found[2] + "\n")
    options = ["--token-file", str(folder / "tokens")]
    options += ["--tls-cert", str(folder / "server.crt"), "--tls-key", str(folder / "server.key")]
    with server_process(folder, *options) as process:
        yield Secure(process.until("serving")["address"], found[1], folder)


def test_the_right_token_over_the_right_authority_is_served(secure: Secure) -> None:
    authority = secure.folder / "server.crt"
    for tls in (authority, str(authority), authority.read_bytes(), cr.TLS(ca=authority)):
        with cr.connect(secure.address, token=secure.token, tls=tls) as client:
            assert client.grad(np.sin, 0.0) == 1.0
            assert "over TLS" in repr(client)


def test_the_environment_may_hold_both(secure: Secure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_ADDRESS", secure.address)
    monkeypatch.setenv("CHAINRULE_TOKEN", secure.token)
    monkeypatch.setenv("CHAINRULE_TLS_CA", str(secure.folder / "server.crt"))
    with cr.connect() as client:
        assert client.grad(np.sin, 0.0) == 1.0


@pytest.mark.parametrize("token", [None, "not the token"])
def test_a_wrong_token_is_refused_with_the_cure(secure: Secure, token: str | None) -> None:
    with (
        cr.connect(secure.address, token=token, tls=secure.folder / "server.crt") as client,
        pytest.raises(cr.Unauthenticated) as caught,
    ):
        client.grad(np.sin, 0.0)
    assert caught.value.cure
    assert caught.value.request_id


def test_another_authority_ends_in_a_tls_error_and_not_in_retries(secure: Secure) -> None:
    with (
        cr.connect(secure.address, token=secure.token, tls=secure.folder / "other.crt") as client,
        pytest.raises(cr.TLSConfigError, match="check that tls= is the CA"),
    ):
        client.grad(np.sin, 0.0, timeout_s=60.0)


def test_a_plain_client_is_told_to_try_tls(secure: Secure) -> None:
    with (
        cr.connect(secure.address, token=secure.token) as client,
        pytest.raises(cr.Unavailable, match="pass tls= if the server uses TLS"),
    ):
        client.grad(np.sin, 0.0, timeout_s=1.0)
