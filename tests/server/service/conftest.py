"""A server that the tests of a file share."""

from collections.abc import Iterator

import pytest

from support.serving import Scene, serving


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the tests of a file; none of them leaves anything behind in it."""
    with serving(tmp_path_factory.mktemp("server"), workers=2) as found:
        yield found
