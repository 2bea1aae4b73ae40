"""One session object goes on through ends and restarts of the server, and nothing is lost or doubled."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from support.network import batch_of, golden, loss
from support.processes import ServerProcess

RECORD = golden()
STEPS = 60


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    started = ServerProcess(tmp_path)
    started.start()
    yield started
    if started.process is not None and started.process.poll() is None:
        started.stop()


def undisturbed() -> dict[str, np.ndarray]:
    with cr.connect("local", workers=2) as client:
        session = create(client)
        for k in range(STEPS):
            session.submit(*batch_of(RECORD, k))
        return dict(session.params())


def create(client: cr.Client) -> cr.Session:
    return client.create_session(
        loss, RECORD["params"], optimizer=cr.optim.adam(0.01), name="steady"
    )


def test_a_drained_server_is_taken_up_without_a_re_open(server: ServerProcess) -> None:
    with cr.connect(server.address) as client:
        session = create(client)
        for k in range(3):
            session.step(*batch_of(RECORD, k))
        assert server.stop() == 0
        answer = session.submit(*batch_of(RECORD, 3))
        server.start()
        assert answer.result(60).step == 4
        assert session.evaluate(*batch_of(RECORD, 0)).step == 4


@pytest.mark.faults
def test_kills_during_pipelined_steps_change_no_bit(server: ServerProcess) -> None:
    expected = undisturbed()
    # Counted, so that no moment is lost while the server is still on its way up.
    kills, reached = 4, threading.Semaphore(0)

    def disturb() -> None:
        for _ in range(kills):
            assert reached.acquire(timeout=60)
            server.kill()
            server.start()

    thread = threading.Thread(target=disturb)
    with cr.connect(server.address) as client:
        session = create(client)
        thread.start()
        results = []
        answers = [session.submit(*batch_of(RECORD, k)) for k in range(4)]
        for k in range(STEPS):
            results.append(answers[k].result(120))
            if k % (STEPS // (kills + 1)) == STEPS // (kills + 1) - 1:
                reached.release()  # with three operations under way
            if k + 4 < STEPS:
                answers.append(session.submit(*batch_of(RECORD, k + 4)))
        thread.join(60)
        assert [result.step for result in results] == list(range(1, STEPS + 1))
        for name, value in session.params().items():
            np.testing.assert_array_equal(value, expected[name])


@pytest.mark.faults
def test_a_killed_client_s_session_goes_on_by_name_with_its_place_in_the_data(
    server: ServerProcess,
) -> None:
    data = (RECORD["x"], RECORD["y"])
    with cr.connect(server.address) as client:
        session = create(client)
        session.fit(data, epochs=1, batch_size=16, progress=False)
    server.kill()
    server.start()
    with cr.connect(server.address) as client:
        again = client.open_session("steady")
        assert again.next_step == 5
        history = again.fit(data, epochs=2, batch_size=16, progress=False)
        assert history.steps == [5, 6, 7, 8]


def test_a_token_and_a_certificate_are_asked_for_only_where_they_are_set(
    server: ServerProcess,
) -> None:
    with cr.connect(server.address, token="not needed") as client:
        assert client.grad(np.sin, 0.0) == 1.0
