"""The command `outlive`."""

from __future__ import annotations

import os
import sys
from importlib import import_module


def main() -> None:
    """Run the command; where a package of an extra is missing, say which instead of a traceback."""
    try:
        import_module("outlive.cli.app").app()
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("outlive"):
            raise
        sys.stderr.write(f"outlive: the package {error.name} is not installed\n  pip install 'outlive[local]'\n")
        sys.exit(2)
    except SystemExit as ending:
        _leave(ending.code)
        raise


def _leave(code: object) -> None:
    """End at once where the object store's driver was at work.

    Its threads outlive the work, and now and then one aborts the process while the interpreter is taken down.
    """
    if "obstore" in sys.modules and (code is None or isinstance(code, int)):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)


if __name__ == "__main__":
    main()
