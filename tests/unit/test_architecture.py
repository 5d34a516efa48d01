import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "ARCHITECTURE.md").read_text()
ROOMS = {path.name for path in (ROOT / "src" / "outlive").iterdir() if (path / "__init__.py").exists()}
SINGLE_MODULES = {path.stem for path in (ROOT / "src" / "outlive").glob("*.py")}


def test_every_room_is_drawn() -> None:
    """A room that was added or removed is added to or removed from the drawing."""
    drawing = PAGE.partition("src/outlive/\n")[2].partition("```")[0]
    assert set(re.findall(r"(\w+)/", drawing)) - {"plan", "sql"} == ROOMS


def test_the_drawn_layers_are_the_checked_ones() -> None:
    """The page shows the layers that import-linter enforces, as far as their rooms exist."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    enforced = [set(re.findall(r"outlive\.(\w+)", layer)) & (ROOMS | SINGLE_MODULES) for layer in layers]
    drawn = PAGE.partition("checks it:\n\n```text\n")[2].partition("```")[0]
    assert [set(line.split(" | ")) for line in drawn.splitlines()] == [rooms for rooms in enforced if rooms]
