"""Whatever the documentation shows is done here, from top to bottom of each page."""

import os
import sys
from pathlib import Path

import pytest

from documentation.blocks import blocks_of, cluster_of
from documentation.execution import Reader
from documentation.lost import lose_everything_but_the_bucket

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(page for page in ROOT.glob("docs/**/*.md") if "_build" not in page.parts)])


@pytest.mark.parametrize("path", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES])
def test_the_page_does_what_it_says(
    path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every code block of the page runs, in order, and prints what the page shows."""
    page = path.read_text()
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.delenv("OUTLIVE_DSN", raising=False)
    monkeypatch.setenv("OUTLIVE_DIR", str(tmp_path / "cluster"))
    monkeypatch.setenv("COLUMNS", "120")
    if cluster_of(page) == "shared":
        cluster = request.getfixturevalue("cluster")
        monkeypatch.setenv("OUTLIVE_DIR", str(cluster.directory))
        monkeypatch.setenv("OUTLIVE_DSN", cluster.dsn)
    if cluster_of(page) == "lost":
        lost = lose_everything_but_the_bucket(tmp_path)
        monkeypatch.setenv("OUTLIVE_STORAGE", lost.storage)
        monkeypatch.setenv("OUTLIVE_BACKUP_KEY_FILE", str(lost.key_file))
    reader = Reader(str(path.relative_to(ROOT)), tmp_path, dict(os.environ))
    try:
        reader.read(list(blocks_of(page)))
    finally:
        if cluster_of(page) in ("own", "lost"):
            reader.run("outlive down --destroy --yes")
