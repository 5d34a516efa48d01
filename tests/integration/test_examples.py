"""Every example runs as its first lines say, without an API key."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from integration.conftest import RunningCluster

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("example", [pytest.param(path, id=path.stem) for path in sorted(EXAMPLES.glob("*.py"))])
def test_the_example_runs(cluster: RunningCluster, example: Path) -> None:
    """It ends well and prints something, on a database that knows nothing of it."""
    done = subprocess.run(
        [sys.executable, str(example), cluster.dsn], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
