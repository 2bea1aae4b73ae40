"""A private server for the tests that need one: real processes, a real channel."""

from collections.abc import Iterator

import pytest

import chainrule as cr


@pytest.fixture(scope="session")
def client() -> Iterator[cr.Client]:
    """Two workers; shared, so tests name their sessions apart or not at all."""
    with cr.connect("local", workers=2) as connected:
        yield connected
