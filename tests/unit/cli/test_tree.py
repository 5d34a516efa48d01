"""The tree of subcommands: whole for the help, and of one branch for a command line."""

import subprocess
import sys

import pytest
import typer

from outlive.cli.tree import COMMANDS, NOUNS, tree

HEAVY = ("httpx", "psycopg", "yaml", "rich", "outlive.stores", "outlive.demo", "outlive.policy.schema")
IMPORTS = """
import sys
from outlive.cli.tree import tree
from typer.main import get_command
get_command(tree("backup"))
import outlive.cli.backup_acts, outlive.cli.storage
from outlive.object_storage.opening import open_store
from outlive.object_storage.options import Credentials, StoreOptions
open_store("s3://bucket/prefix", StoreOptions(credentials=Credentials("id", "secret"), region="eu-west-1"))
print(*sys.modules, sep="\\n")
"""


def names(first: str | None) -> list[str]:
    """The subcommands that are in the tree for this first word."""
    return list(typer.main.get_command(tree(first)).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("first", [None, "--help", "bogus"])
def test_whole_tree(first: str | None) -> None:
    """Where no subcommand is named all of them are there, for the help and for the hint at a misspelt one."""
    assert names(first) == [*COMMANDS, *NOUNS]


@pytest.mark.parametrize("first", [*COMMANDS, *NOUNS])
def test_one_branch(first: str) -> None:
    """A subcommand that is named is there alone."""
    assert names(first) == [first]


def test_light_backup() -> None:
    """Taking a backup brings in nothing that only other commands need."""
    said = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True).stdout.split()
    assert "obstore" in said
    assert [each for each in HEAVY if each in said] == []
