"""Optional neighbours, imported when they are first needed."""

import importlib
from typing import Any

from chainrule.errors import Retry, Unsupported


def load(module: str, cure: str) -> Any:
    """A module of a package that the base install doesn't bring.

    Raises:
        Unsupported: it isn't installed; the text says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise Unsupported(f"{package} is not installed", cure=cure, retry=Retry.FIX) from None
