"""The way from an event to those who listen.

    db = outlive.connect(dsn, telemetry=print)

A hook is called where the event happens, on the event loop: it has to be quick. One that raises is logged, and
breaks no call. Without hooks no event is made: `if hooks: tell(hooks, ...)`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from outlive.errors import ConfigurationError
from outlive.telemetry.events import Event

Hook = Callable[[Event], object]
Hooks = tuple[Hook, ...]

_log = logging.getLogger("outlive.telemetry")


def collect(given: Hook | Iterable[Hook] | None) -> Hooks:
    """What `telemetry=` means.

    Raises:
        ConfigurationError: one of them can't be called.
    """
    if given is None:
        return ()
    listed: object = given
    hooks = tuple(listed) if isinstance(listed, Iterable) and not callable(listed) else (listed,)
    for hook in hooks:
        if not callable(hook):
            raise ConfigurationError(f"telemetry can't be {hook!r}", hint="It is a callable, or a sequence of them.")
    return hooks


def tell(hooks: Hooks, event: Event) -> None:
    """Call every hook, whatever the others do."""
    for hook in hooks:
        try:
            hook(event)
        except Exception:
            _log.exception("a telemetry hook failed at %s", type(event).__name__)
