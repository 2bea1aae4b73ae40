"""The two oracles, each only where it is installed, and a private server to compare with."""

from collections.abc import Iterator
from typing import Any

import pytest

import chainrule as cr


@pytest.fixture(scope="session")
def client() -> Iterator[cr.Client]:
    with cr.connect("local", workers=2) as connected:
        yield connected


@pytest.fixture(scope="session")
def torch() -> Any:
    """PyTorch, in float64 unless told otherwise."""
    return pytest.importorskip("torch", reason="pip install 'chainrule[oracles]'")


@pytest.fixture(scope="session")
def jax() -> Any:
    """JAX, in float64."""
    found = pytest.importorskip("jax", reason="pip install 'chainrule[oracles]'")
    found.config.update("jax_enable_x64", True)
    return found
