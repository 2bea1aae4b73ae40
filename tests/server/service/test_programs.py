"""Programs are made once a question, however many ask at the same time."""

import threading

import pytest

from chainrule.ir import canonical
from chainrule_server.door.graphs import Known
from chainrule_server.engine.requests import Kind, Request
from chainrule_server.service.programs import Cache, Programs
from support.sample_graphs import article


def test_a_value_is_made_once_for_all_who_wait() -> None:
    cache: Cache[int] = Cache(2)
    made: list[int] = []
    gate = threading.Event()

    def make() -> int:
        gate.wait(10)
        made.append(1)
        return 7

    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(cache.get("k", make))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()
    assert (made, found) == ([1], [7] * 4)


def test_a_failure_goes_to_the_caller_and_is_not_kept() -> None:
    cache: Cache[int] = Cache(2)

    def fails() -> int:
        raise KeyError("once")

    with pytest.raises(KeyError):
        cache.get("k", fails)
    assert cache.get("k", lambda: 3) == 3


def test_the_longest_unused_goes_first() -> None:
    cache: Cache[int] = Cache(2)
    for key in ("a", "b", "a", "c"):
        cache.get(key, lambda key=key: ord(key))  # type: ignore[misc]  # a default binds the loop's key
    assert cache.get("a", lambda: 0) == ord("a")
    assert cache.get("b", lambda: 0) == 0


def test_the_same_question_is_the_same_program_for_its_tenant() -> None:
    programs = Programs(b"n" * 32)
    graph = article()
    known = Known(graph, canonical.digest(graph), 100)
    value = (Request(Kind.VALUE),)
    first = programs.request("a", known, value, 0)
    assert programs.request("a", known, value, 0) is first
    assert programs.request("b", known, value, 0) is not first
    assert programs.request("a", known, (Request(Kind.GRAD, ("args/0",)),), 0) is not first
