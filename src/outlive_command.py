"""The door of the command `outlive`, beside the package: bringing that in takes a moment, in which Ctrl-C may come."""

from __future__ import annotations

import os
import signal

INTERRUPTED = 130


def main() -> None:
    """Bring the command in and run it. Until it is in, nothing was begun, and Ctrl-C ends the process on the spot.

    An exception would not do: raised within a callback of the import itself, it is printed and gone.
    """
    is_heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_heard:
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    from outlive.cli.main import main as command

    if is_heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command()
