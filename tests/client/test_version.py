"""The version."""

from importlib.metadata import version

from chainrule.version import __version__


def test_the_version_is_the_distribution_s() -> None:
    assert __version__ == version("chainrule")
