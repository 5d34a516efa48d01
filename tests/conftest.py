"""What holds for every test."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

# A shell that runs this in the background ignores SIGINT, and so would every program that a test starts and then
# interrupts as Ctrl-C does.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says nothing of the code where the same cores run a cluster at the same time.
settings.register_profile("outlive", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("outlive")
