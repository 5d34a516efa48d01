"""The whole tree of subcommands, for the reference and for tests: the command itself brings in one branch of it."""

from outlive.cli.tree import tree

app = tree()
