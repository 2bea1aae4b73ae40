"""The version of the distribution."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("chainrule")
except PackageNotFoundError:  # the sources on the path, nothing installed
    __version__ = "0"
