"""A private server for the end-to-end tests: real processes, a real channel."""

from collections.abc import Iterator

import pytest

import chainrule as cr


@pytest.fixture(scope="session")
def client() -> Iterator[cr.Client]:
    """Two workers."""
    with cr.connect("local", workers=2) as connected:
        yield connected
