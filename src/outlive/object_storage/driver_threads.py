"""Keeps the interpreter up until the driver's threads have left it.

The driver ends a call on a thread of its own, which wakes the event loop through Python. The loop may go on while that
thread still waits to get out again; a program that ends right then takes the interpreter down under it. CPython before
3.14 ends such a thread from within, which Rust doesn't allow: the process aborts, all its work done.
"""

from __future__ import annotations

import atexit
import sys
import threading
import time

from outlive import system

LEAVING_LIMIT_S = 2.0
"""A thread of another library may stay in Python for ever; it holds an exit up for no longer than this."""
_POLL_S = 0.001


def wait_at_exit() -> None:
    """Let this program's end wait for the driver's threads, however it ends; may be called twice."""
    atexit.unregister(_wait)
    atexit.register(_wait)


def _wait() -> None:
    deadline = system.monotonic() + LEAVING_LIMIT_S
    while _foreign() and system.monotonic() < deadline:
        time.sleep(_POLL_S)


def _foreign() -> bool:
    """Whether a thread is in Python that Python didn't start. This one holds the interpreter: none leaves meanwhile."""
    # Python takes a thread for its own once that thread has asked for `threading.current_thread()`: a dummy.
    own = (each for each in threading.enumerate() if not isinstance(each, threading._DummyThread))  # noqa: SLF001 - there is no public name
    return not sys._current_frames().keys() <= {each.ident for each in own}  # noqa: SLF001 - documented
