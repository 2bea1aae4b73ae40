"""What passes between client and server: captured arrays once, and steps once whatever the network loses."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from support.network import batch_of, golden, loss
from support.processes import server_process
from support.proxy import Proxy, proxy_to

MB = 1_000_000
RECORD = golden()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a server of its own."""
    with server_process(tmp_path) as address:
        yield address


@pytest.fixture
def proxy(server: str) -> Iterator[Proxy]:
    """Between that server and whoever connects here."""
    with proxy_to(server) as found:
        yield found


@pytest.mark.slow
def test_a_closure_of_100_mb_works_and_is_uploaded_once(proxy: Proxy) -> None:
    table = np.random.default_rng(0).normal(size=(12_500, 1_000))
    w = np.linspace(0, 1, 1_000)

    def f(w: Any) -> Any:
        return np.mean((table @ w) ** 2)

    with cr.connect(proxy.address) as client:
        value, gradient = client.value_and_grad(f, w)
        np.testing.assert_allclose(value, np.mean((table @ w) ** 2), rtol=1e-12)
        np.testing.assert_allclose(gradient, 2 * table.T @ (table @ w) / len(table), rtol=1e-10)
        assert 100 * MB < proxy.sent < 105 * MB
        before = proxy.sent
        again, _ = client.value_and_grad(f, w)
        assert again == value
        assert proxy.sent - before < 0.1 * MB
    with cr.connect(proxy.address) as another:
        before = proxy.sent
        assert another.value(f, w) == value
        assert proxy.sent - before < 0.1 * MB
        table[0, -1] += 1
        assert another.value(f, w) != value, "a changed closure is never stale"
        assert proxy.sent - before > 100 * MB


def test_a_step_whose_answer_was_lost_is_applied_once(server: str, proxy: Proxy) -> None:
    with cr.connect(proxy.address) as client, cr.connect(server) as observer:
        session = client.create_session(loss, RECORD["params"], optimizer=cr.optim.adam(0.01))
        first = session.step(*batch_of(RECORD, 0))
        assert not first.replayed
        with cr.connect("local", workers=1) as other:
            steady = other.create_session(loss, RECORD["params"], optimizer=cr.optim.adam(0.01))
            steady.step(*batch_of(RECORD, 0))
            expected = steady.step(*batch_of(RECORD, 1))
        proxy.answers.clear()
        lost = session.submit(*batch_of(RECORD, 1))
        while observer.sessions()[0].step < 2:
            observer.pause(0.01)
        proxy.cut()
        proxy.answers.set()
        result = lost.result(60)
        assert result.replayed
        assert (result.step, result.loss) == (2, expected.loss)
        assert session.step(*batch_of(RECORD, 2)).step == 3
