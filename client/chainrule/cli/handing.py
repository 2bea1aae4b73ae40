"""Commands that are the server's: the same process goes on as `python -m chainrule_server...`."""

import importlib.util
import os
import sys
from collections.abc import Sequence

# One module of each package that the extras bring, by the command that needs it.
_NEEDS = {
    "serve": ("grpc_health", "pydantic_settings", "structlog"),
    "demo": ("grpc_health", "pydantic_settings", "structlog", "rich", "matplotlib"),
}
_EXTRA = {"serve": "server", "demo": "demo"}


def hand_on(command: str, module: str, arguments: Sequence[str]) -> int:
    """Replaces this process; only comes back, with 1, where an extra is missing."""
    missing = missing_packages(command)
    if missing:
        extra = f'pip install "chainrule[{_EXTRA[command]}]"'
        sys.stderr.write(
            f"chainrule {command}: {', '.join(missing)} not installed; the base install is the client"
            f" alone: {extra}\n"
        )
        return 1
    sys.stdout.flush()
    # -P: what happens to lie in the working directory must not stand in for a module.
    os.execv(sys.executable, [sys.executable, "-P", "-m", module, *arguments])


def missing_packages(command: str) -> list[str]:
    """What the command needs and isn't installed."""
    return [name for name in _NEEDS[command] if importlib.util.find_spec(name) is None]
