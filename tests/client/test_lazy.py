"""Optional neighbours."""

import pytest

from chainrule.errors import Unsupported
from chainrule.lazy import load


def test_a_missing_package_names_what_to_install() -> None:
    with pytest.raises(Unsupported, match=r"no_such_package is not installed; pip install it"):
        load("no_such_package.part", "pip install it")


def test_a_package_that_is_there_comes_back() -> None:
    assert load("json.decoder", "").__name__ == "json.decoder"
