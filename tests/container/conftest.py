"""A real engine, the image built once, and hardened containers that are gone after the test."""

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container
from docker.models.images import Image
from docker.models.volumes import Volume

from support.containers import ROOT, TAG, Start

SECOND = 1_000_000_000  # the engine counts in nanoseconds


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """The engine that DOCKER_HOST names; without one these tests fail, not skip."""
    client = docker.from_env()
    client.ping()
    yield client
    client.close()


@pytest.fixture(scope="session")
def image(engine: docker.DockerClient) -> Image:
    """The image, built from the checkout as a user builds it."""
    built, _ = engine.images.build(
        path=str(ROOT),
        tag=TAG,
        rm=True,
        network_mode=os.environ.get("CHAINRULE_BUILD_NETWORK", "default"),
        buildargs={"BASE": os.environ.get("CHAINRULE_BASE", "python:3.13-slim")},
    )
    return built


@pytest.fixture
def volume(engine: docker.DockerClient) -> Iterator[Volume]:
    made = engine.volumes.create(f"chainrule-test-{uuid.uuid4().hex[:12]}")
    yield made
    made.remove(force=True)


@pytest.fixture
def start(engine: docker.DockerClient, image: Image, volume: Volume) -> Iterator[Start]:
    """Starts hardened containers of the image; removes them after the test, before the volume."""
    del volume
    started: list[Container] = []

    def run(*command: str, volume: Volume | None = None) -> Container:
        mounts = {str(volume.name): {"bind": "/data", "mode": "rw"}} if volume else None
        container = engine.containers.run(
            image,
            list(command),
            detach=True,
            ports={"50051/tcp": ("127.0.0.1", 0)},
            volumes=mounts,
            # The rest is what docker-compose.yml gives the server, in the words of the SDK.
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
            tmpfs={"/tmp": "size=64m,mode=1777"},
            mem_limit="4g",
            pids_limit=256,
            # The image's own check, asked more often so that a start is seen soon.
            healthcheck={"interval": SECOND, "timeout": 5 * SECOND, "retries": 60},
        )
        started.append(container)
        return container

    yield run
    for container in started:
        container.remove(force=True, v=True)


@pytest.fixture(scope="session")
def compose() -> tuple[str, ...]:
    """The compose command of this machine: version 2's, else version 1's."""
    plugin = ("/usr/libexec/docker/cli-plugins", "/usr/lib/docker/cli-plugins")
    folders = [Path.home() / ".docker/cli-plugins", *map(Path, plugin)]
    if any((folder / "docker-compose").exists() for folder in folders):
        return ("docker", "compose")
    found = shutil.which("docker-compose")
    assert found, "these tests need docker-compose"
    return (found,)
