"""Leases hold bytes of the budget, are bounded, and end."""

import time
from collections.abc import Iterator

import numpy as np
import pytest

from chainrule.errors import ChainruleError, ErrorCode
from chainrule.ir.expr import sin
from chainrule_server.door.budget import ByteBudget
from chainrule_server.engine.linearize import linearize
from chainrule_server.service.leases import MAX_TTL_S, Lease, Leases
from support.written import f8, graph

CUT = linearize(graph({"x": f8(8)}, sin), (), ())
KEPT = {"residual/0": np.zeros(8)}


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def budget() -> ByteBudget:
    return ByteBudget(1000)


@pytest.fixture
def leases(budget: ByteBudget, clock: Clock) -> Iterator[Leases]:
    found = Leases(budget, per_tenant=3, clock=clock)
    yield found
    found.close()


def taken(leases: Leases, tenant: str = "a", ttl_s: float = 10.0) -> Lease:
    with leases.room(tenant, 64):
        return leases.keep(tenant, CUT, 1, KEPT, ttl_s)


def test_a_lease_holds_its_bytes_until_it_is_released(leases: Leases, budget: ByteBudget) -> None:
    lease = taken(leases)
    assert (lease.nbytes, leases.nbytes, budget.used) == (64, 64, 64)
    assert leases.use("a", lease.id) is lease
    assert leases.release("a", lease.id)
    assert (leases.nbytes, budget.used) == (0, 0)
    assert not leases.release("a", lease.id)


def test_every_use_begins_its_time_anew(leases: Leases, clock: Clock, budget: ByteBudget) -> None:
    lease = taken(leases)
    for _ in range(3):
        clock.now += 9.0
        leases.use("a", lease.id)
    clock.now += 10.0
    with pytest.raises(ChainruleError, match="linearize again") as caught:
        leases.use("a", lease.id)
    assert caught.value.code is ErrorCode.NOT_FOUND
    assert budget.used == 0


def test_what_runs_out_is_freed_without_any_call() -> None:
    budget = ByteBudget(1000)
    leases = Leases(budget)
    taken(leases, ttl_s=0.02)
    # The whole budget is there only once the lease has gone.
    with budget.reserve(1000, time.monotonic() + 30.0):
        assert leases.nbytes == 0
    leases.close()


def test_another_tenant_has_no_such_lease(leases: Leases) -> None:
    lease = taken(leases)
    with pytest.raises(ChainruleError):
        leases.use("b", lease.id)
    assert not leases.release("b", lease.id)


def test_a_tenant_may_have_so_many(leases: Leases) -> None:
    for _ in range(3):
        taken(leases)
    with pytest.raises(ChainruleError, match="3 leases are open; release") as caught:
        taken(leases)
    assert caught.value.code is ErrorCode.QUOTA
    assert caught.value.facts["retry_after_s"] == 10.0
    taken(leases, "b")


def test_all_leases_take_half_of_the_budget_at_most(leases: Leases) -> None:
    with (
        leases.room("a", 300),
        pytest.raises(ChainruleError) as caught,
        leases.room("b", 300),
    ):
        pass
    assert caught.value.code is ErrorCode.QUOTA
    with pytest.raises(ChainruleError) as caught, leases.room("a", 501):
        pass
    assert caught.value.code is ErrorCode.COST_BYTES


def test_a_forward_that_fails_leaves_nothing(leases: Leases, budget: ByteBudget) -> None:
    with pytest.raises(ZeroDivisionError), leases.room("a", 500):
        raise ZeroDivisionError
    with leases.room("a", 500):
        assert budget.used == 0


def test_nobody_holds_one_for_ever(leases: Leases) -> None:
    assert taken(leases, ttl_s=1e12).ttl_s == MAX_TTL_S


def test_closing_gives_all_up(budget: ByteBudget) -> None:
    leases = Leases(budget)
    taken(leases)
    leases.close()
    assert budget.used == 0
