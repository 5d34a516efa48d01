"""What holds for every test."""

from __future__ import annotations

import signal

# A shell that runs this in the background ignores SIGINT, and so would every program that a test starts and then
# interrupts as Ctrl-C does.
signal.signal(signal.SIGINT, signal.default_int_handler)
