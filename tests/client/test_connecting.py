"""Which server `connect` means."""

import numpy as np
import pytest

import chainrule as cr

NAMES = ("CHAINRULE_ADDRESS", "CHAINRULE_TOKEN", "CHAINRULE_TLS_CA")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def test_the_environment_names_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_ADDRESS", "example.org:7")
    with cr.connect() as client:
        assert client.address == "example.org:7"
        assert repr(client) == "<chainrule client, of example.org:7>"
        assert client.server_pid is None
    with cr.connect("localhost") as client:
        assert client.address == "localhost:50051"


def test_the_environment_names_the_authority(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_TLS_CA", "/no/such/ca.crt")
    with pytest.raises(cr.TLSConfigError, match=r"tls ca '/no/such/ca\.crt' can't be read"):
        cr.connect("localhost:1")


def test_without_an_address_there_is_a_private_server() -> None:
    with cr.connect(workers=1) as client:
        assert client.address.startswith("unix:")
        assert client.grad(np.sin, 0.0) == 1.0


def test_settings_of_a_private_server_don_t_go_to_another() -> None:
    with pytest.raises(cr.GraphError, match='give them to `chainrule serve`, or connect\\("local'):
        cr.connect("localhost:1", workers=2)


def test_a_wrong_address_is_refused_before_anything_is_tried() -> None:
    with pytest.raises(cr.Unavailable, match="neither host:port nor unix:/path"):
        cr.connect("http://localhost:1/")


def test_two_private_servers_live_side_by_side() -> None:
    with cr.connect("local", workers=1) as one, cr.connect("local", workers=1) as other:
        assert one.info().instance_id != other.info().instance_id


def test_a_data_folder_outlives_its_private_server(tmp_path: object) -> None:
    folder = str(tmp_path)
    with cr.connect("local", workers=1, data_dir=folder) as client:
        session = client.create_session(
            lambda w, x: np.mean((x * w) ** 2),
            np.float64(2.0),
            optimizer=cr.optim.sgd(0.1),
            name="kept",
        )
        session.step(np.ones(3))
        w = session.params()
    with cr.connect("local", workers=1, data_dir=folder) as client:
        again = client.open_session("kept")
        assert again.next_step == 2
        assert again.params() == w
