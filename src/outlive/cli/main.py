"""The command `outlive`."""

from __future__ import annotations

import sys
from importlib import import_module

INTERRUPTED = 130


def main() -> None:
    """Run the command; where a package of an extra is missing, say which instead of a traceback."""
    try:
        import_module("outlive.cli.tree").tree(sys.argv[1] if len(sys.argv) > 1 else None)()
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("outlive"):
            raise
        sys.stderr.write(f"outlive: the package {error.name} is not installed\n  pip install 'outlive[local]'\n")
        sys.exit(2)
    except KeyboardInterrupt:  # while the parts are loaded
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
