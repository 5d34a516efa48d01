"""The archive command, as PostgreSQL and the shell read it."""

from __future__ import annotations

import shlex

from outlive.cluster.plan.archive_command import render, socket_name


def test_odd_paths_reach_the_client_as_they_are() -> None:
    """Spaces, quotes and percent signs in paths survive PostgreSQL's placeholders and the shell's words."""
    command = render("/opt/my python/bin/python3", "/srv/50%/it's/client.py", "/home/n1")
    filled = command.replace("%f", "000000010000000000000001").replace("%%", "%")
    assert shlex.split(filled) == [
        "exec", "/opt/my python/bin/python3", "-ISs", "/srv/50%/it's/client.py", socket_name("/home/n1"),
        "000000010000000000000001",
    ]  # fmt: skip


def test_each_node_has_a_socket_of_its_own() -> None:
    """Nodes in different directories never share an archiver, and the name fits into a socket's address."""
    names = {socket_name(f"/home/cluster/{'x' * 300}/n{number}") for number in range(9)}
    assert len(names) == 9
    assert max(map(len, names)) < 100
