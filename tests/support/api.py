"""The public names, one a line; `python -m support.api > api.txt` (in tests/) writes the list."""

import importlib
import sys

NAMESPACES = ("", "nn", "losses", "optim", "schedules", "random", "fft")


def public_names() -> list[str]:
    """Every name in `__all__` of `chainrule` and of its public namespaces."""
    found = []
    for namespace in NAMESPACES:
        module = importlib.import_module(f"chainrule.{namespace}".rstrip("."))
        prefix = f"{namespace}." if namespace else ""
        found += [prefix + name for name in sorted(module.__all__)]
    return found


if __name__ == "__main__":
    sys.stdout.write("\n".join(public_names()) + "\n")
