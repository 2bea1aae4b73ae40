"""Two tokens, two tenants: neither learns anything of the other's sessions, graphs and arrays."""

import hashlib
import secrets
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest

import chainrule as cr
from chainrule import calls
from chainrule.ir.tensors import tensor_digest
from chainrule.proto.v1 import object_pb2
from support.server_process import server_process

TOKENS = {name: secrets.token_urlsafe(32) for name in ("ada", "bob")}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("tenants")
    lines = [f"{name}:{hashlib.sha256(t.encode()).hexdigest()}\n" for name, t in TOKENS.items()]
    (folder / "tokens").write_text("".join(lines))
    with server_process(folder, "--token-file", str(folder / "tokens")) as server:
        yield str(server.until("serving")["address"])


@pytest.fixture
def ada(address: str) -> Iterator[cr.Client]:
    with cr.connect(address, token=TOKENS["ada"]) as client:
        yield client


@pytest.fixture
def bob(address: str) -> Iterator[cr.Client]:
    with cr.connect(address, token=TOKENS["bob"]) as client:
        yield client


def loss(w: Any, x: Any) -> Any:
    return np.mean((x @ w) ** 2)


def create(client: cr.Client, **settings: Any) -> cr.Session:
    return client.create_session(loss, np.ones(3), optimizer=cr.optim.sgd(0.1), **settings)


def test_a_session_of_another_tenant_is_not_there(ada: cr.Client, bob: cr.Client) -> None:
    session = create(ada, name="secret")
    session.step(np.ones((2, 3)))
    texts = set()
    for asked in (session.id, "secret", "0" * 32, "absent"):
        with pytest.raises(cr.NotFound) as caught:
            bob.open_session(asked)
        texts.add(str(caught.value))
    assert len(texts) == 1, "a guess is told nothing"
    assert [s.id for s in ada.sessions()] == [session.id]
    assert list(bob.sessions()) == []
    assert session.step(np.ones((2, 3))).step == 2, "and nobody was fenced"


def test_a_name_may_be_used_by_every_tenant(ada: cr.Client, bob: cr.Client) -> None:
    first, second = create(ada, name="common"), create(bob, name="common")
    assert first.id != second.id
    assert bob.open_session("common").id == second.id


def test_an_array_of_another_tenant_is_not_there(address: str, ada: cr.Client) -> None:
    """Otherwise the answer would tell what others compute with."""
    table = np.random.default_rng(0).normal(size=(400, 400))
    ada.value(lambda x: np.sum(table * x), 2.0)
    request = object_pb2.HasRequest(digests=[tensor_digest(table)]).SerializeToString()
    with grpc.insecure_channel(address) as channel:
        ask: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(calls.HAS.path)
        present = {
            name: list(calls.HAS.decode_reply(ask(request, timeout=60, metadata=header)).present)
            for name, token in TOKENS.items()
            for header in [(("authorization", f"Bearer {token}"),)]
        }
    assert present == {"ada": [True], "bob": [False]}
