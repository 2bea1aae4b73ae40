"""Containers of the image as the tests run them: hardened, waited for, and found again."""

import time
from collections.abc import Callable
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

ROOT = Path(__file__).resolve().parents[2]
TAG = "chainrule:test"
START_S = 60  # the whole wait for a first healthy answer, on a busy machine

Start = Callable[..., Container]


def wait_until_healthy(engine: docker.DockerClient, container: Container) -> str:
    """Waits for the health event; gives the published address. Fails with the log otherwise.

    The engine replays events since the start, so one that came before we asked is not missed,
    and closes the stream at `until`, which bounds the wait.
    """
    now = int(time.time())
    events = engine.events(
        since=now - START_S,
        until=now + START_S,
        filters={"container": container.id, "event": ["health_status", "die"]},
        decode=True,
    )
    for event in events:
        if event["status"] == "health_status: healthy":
            return address(container)
        if event["status"] == "die":
            break
    pytest.fail(f"not healthy within {START_S} s:\n{container.logs().decode()}")


def address(container: Container) -> str:
    """Where the container's port is published on this machine."""
    container.reload()
    (binding,) = container.attrs["NetworkSettings"]["Ports"]["50051/tcp"]
    return f"{binding['HostIp']}:{binding['HostPort']}"
