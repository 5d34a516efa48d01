"""The command `outlive`."""

from __future__ import annotations

import sys
from importlib import import_module


def main() -> None:
    """Run the command; without the extra that it needs, say so instead of a traceback."""
    try:
        app = import_module("outlive.cli.app").app
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("outlive"):
            raise
        sys.stderr.write(f"outlive: the module {error.name} is not installed\n  pip install 'outlive[local]'\n")
        sys.exit(2)
    app()


if __name__ == "__main__":
    main()
