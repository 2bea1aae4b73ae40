"""The image: built, run hardened, trained against, stopped, and started again on its volume."""

import docker
import numpy as np
import pytest
from docker.models.images import Image
from docker.models.volumes import Volume

import chainrule as cr
from support.containers import Start, wait_until_healthy

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("docker"), pytest.mark.timeout(600)]

GRACE_S = 30  # docker-compose.yml's stop_grace_period


def loss(params, x, y):  # type: ignore[no-untyped-def]  # a model as users write it
    a = cr.nn.sigmoid(x @ params["W1"] + params["b1"])
    return 0.5 * np.mean(np.sum((a @ params["W2"] + params["b2"] - y) ** 2, axis=-1))


def network() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    return {
        "W1": rng.normal(size=(3, 8)),
        "b1": np.zeros(8),
        "W2": rng.normal(size=(8, 2)),
        "b2": np.zeros(2),
    }


def batch() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(8)
    return rng.normal(size=(64, 3)), rng.normal(size=(64, 2))


def test_image_runs_as_nobody_and_says_what_it_offers(image: Image) -> None:
    config = image.attrs["Config"]
    assert config["User"] == "10001:10001"
    assert config["Volumes"] == {"/data": {}}
    assert config["ExposedPorts"] == {"50051/tcp": {}}
    assert config["Healthcheck"]["Test"][0] == "CMD"
    assert config["Entrypoint"] == ["python", "-m", "chainrule_server"]


def test_a_client_trains_against_a_hardened_container(
    engine: docker.DockerClient, start: Start, volume: Volume
) -> None:
    container = start("--insecure", volume=volume)
    with cr.connect(wait_until_healthy(engine, container)) as client:
        session = client.create_session(loss, network(), optimizer=cr.optim.adam(1e-2))
        losses = [session.step(*batch()).loss for _ in range(30)]
    assert losses[-1] < 0.8 * losses[0]


def test_sigterm_exits_zero_within_the_grace(
    engine: docker.DockerClient, start: Start, volume: Volume
) -> None:
    container = start("--insecure", volume=volume)
    with cr.connect(wait_until_healthy(engine, container)) as client:
        session = client.create_session(loss, network(), optimizer=cr.optim.sgd(1e-2))
        session.step(*batch())
        container.stop(timeout=GRACE_S)
    # The engine would have killed it after the grace, and said 137.
    assert container.wait(timeout=GRACE_S)["StatusCode"] == 0, container.logs().decode()


def test_a_restart_on_the_same_volume_goes_on_at_the_next_step(
    engine: docker.DockerClient, start: Start, volume: Volume
) -> None:
    first = start("--insecure", volume=volume)
    with cr.connect(wait_until_healthy(engine, first)) as client:
        session = client.create_session(loss, network(), optimizer=cr.optim.adam(1e-2), name="kept")
        for _ in range(5):
            last = session.step(*batch())
        kept, next_step = session.params(), session.next_step
    first.stop(timeout=GRACE_S)

    second = start("--insecure", volume=volume)
    with cr.connect(wait_until_healthy(engine, second)) as client:
        session = client.open_session("kept")
        assert session.next_step == next_step
        for name, value in session.params().items():
            np.testing.assert_array_equal(value, kept[name])
        assert session.step(*batch()).step == last.step + 1


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("--insecure", "--workers", "many"), ("--workers", "many", "worker processes")),
        (("--insecure", "--listen", "nowhere"), ("--listen", "nowhere", "HOST:PORT")),
        ((), ("--listen", "0.0.0.0:50051", "--insecure")),
    ],
    ids=["workers", "listen", "beyond loopback"],
)
def test_a_wrong_option_exits_2_naming_option_value_and_cure(
    start: Start, command: tuple[str, ...], words: tuple[str, ...]
) -> None:
    container = start(*command)
    assert container.wait(timeout=60)["StatusCode"] == 2
    text = container.logs().decode()
    for word in words:
        assert word in text
