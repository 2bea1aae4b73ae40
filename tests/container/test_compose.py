"""docker-compose.yml: the client profile trains, the secure profile wants TLS and the token."""

import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import numpy as np
import pytest

import chainrule as cr
from support.containers import ROOT, TAG, wait_until_healthy

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("docker"), pytest.mark.timeout(600)]

Compose = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def project() -> str:
    return f"chainrule-test-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def run(compose: tuple[str, ...], image: object, project: str) -> Iterator[Compose]:
    """Runs compose in a project of its own, on free ports, and takes everything down after."""
    del image  # built before, so that compose needs no build of its own
    settings = {
        "CHAINRULE_TAG": TAG.partition(":")[2],
        "CHAINRULE_PORT": "0",
        "CHAINRULE_SECURE_PORT": "0",
    }

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*compose, "--project-name", project, *arguments],
            cwd=ROOT,
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            timeout=300,
            stdin=subprocess.DEVNULL,
        )

    yield call
    call("--profile", "client", "--profile", "secure", "down", "--volumes", "--timeout", "10")


def test_the_client_profile_trains_the_example(run: Compose) -> None:
    up = run("--profile", "client", "up", "--no-build", "--exit-code-from", "client")
    assert up.returncode == 0, up.stdout + up.stderr
    assert "loss" in up.stdout


def test_a_second_client_goes_on_where_the_first_ended(run: Compose) -> None:
    up = run("--profile", "client", "up", "--no-build", "--exit-code-from", "client")
    again = run("--profile", "client", "up", "--no-build", "--exit-code-from", "client")
    assert up.returncode == again.returncode == 0, again.stdout + again.stderr
    assert "begins" in up.stdout
    assert "goes on at step" in again.stdout


def test_the_secure_profile_wants_tls_and_the_token(
    run: Compose, engine: docker.DockerClient, project: str
) -> None:
    subprocess.run([ROOT / "deploy" / "make-certs"], check=True, stdout=subprocess.DEVNULL)
    secrets: Path = ROOT / "deploy" / "secrets"
    up = run("--profile", "secure", "up", "--no-build", "--detach", "secure")
    assert up.returncode == 0, up.stdout + up.stderr
    label = f"com.docker.compose.project={project}"
    (container,) = engine.containers.list(filters={"label": label})
    port = wait_until_healthy(engine, container).rpartition(":")[2]

    token = (secrets / "token").read_text().strip()
    authority = str(secrets / "ca.crt")
    with cr.connect(f"localhost:{port}", token=token, tls=authority) as client:
        gradient = client.grad(lambda x: np.sum(np.sin(x)), np.array([0.0, 1.0]))
        np.testing.assert_allclose(gradient, np.cos([0.0, 1.0]), rtol=1e-12)
    with (
        cr.connect(f"localhost:{port}", token="not the token", tls=authority) as client,
        pytest.raises(cr.Unauthenticated),
    ):
        client.grad(lambda x: np.sum(np.sin(x)), np.array([0.0, 1.0]))
