"""`outlive up` and `outlive down` on real programs: repeatable, complete, careful with what they find."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from conditions import eventually
from integration.conftest import RunningCluster
from outlive.cluster import processes
from outlive.cluster.directory import ClusterDirectory
from outlive.cluster.journal import Journal
from outlive.cluster.making import Wish, make_or_load
from outlive.cluster.state import read_state, supervisor_pid
from outlive.testing import LocalCluster
from require import require

LIMIT_S = 240.0


def outlive(*arguments: str, directory: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command as a person does."""
    chosen = ("--dir", str(directory)) if directory else ()
    return subprocess.run(
        [sys.executable, "-m", "outlive.cli.main", *arguments, *chosen],
        check=False,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )


def status(directory: Path) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """`outlive status --json`, and what it told; asked again where a node of a whole cluster was too busy to answer."""
    shown: list[tuple[subprocess.CompletedProcess[str], dict[str, Any]]] = []

    def all_answer() -> bool:
        done = outlive("status", "--json", directory=directory)
        shown.append((done, json.loads(done.stdout)))
        return all(node["role"] and node["etcd_healthy"] for node in shown[-1][1]["nodes"])

    eventually(all_answer, within_s=LIMIT_S)
    return shown[-1]


@pytest.fixture
def lone_node(tmp_path: Path) -> Iterator[LocalCluster]:
    """A cluster of one node that is up: the cheapest real one."""
    local = LocalCluster(tmp_path / "cluster", nodes=1)
    try:
        asyncio.run(local.start())
        yield local
    finally:
        asyncio.run(local.stop())


def pids(local: LocalCluster, node: str) -> set[int]:
    """Every process of a node."""
    found = local.processes(node)
    named = {found.supervisor, found.etcd, found.patroni, found.postmaster}
    return {pid for pid in named | set(found.others) if pid is not None}


def test_up_twice_is_up_once(cluster: RunningCluster) -> None:
    """A second `up` starts no process and prints the same DSN."""
    before = {name: pids(cluster.local, name) for name in ("n1", "n2", "n3")}
    again = outlive("up", directory=cluster.directory)
    assert again.returncode == 0
    assert again.stdout.strip() == cluster.dsn
    after = {name: pids(cluster.local, name) for name in ("n1", "n2", "n3")}
    for name, processes_before in before.items():
        found = cluster.local.processes(name)
        assert {found.supervisor, found.etcd, found.patroni, found.postmaster} <= processes_before, after[name]


def test_status_tells_that_critical_writes_are_safe(cluster: RunningCluster) -> None:
    """A whole cluster shows one primary, two synchronous standbys, and exit code 0."""
    shown, told = status(cluster.directory)
    assert shown.returncode == 0, shown.stderr
    assert sorted(node["role"] for node in told["nodes"]) == ["primary", "standby", "standby"]
    assert told["critical_writes_safe"] is True
    assert len(told["synchronous_standbys"]) == 2


def test_files_with_secrets_are_closed(cluster: RunningCluster) -> None:
    """No file or directory of the cluster can be read by other accounts, and no password is in a log."""
    spec, secrets = ClusterDirectory(cluster.directory).load()
    assert stat.S_IMODE(cluster.directory.stat().st_mode) == 0o700
    for name in ("secrets.json", "client.dsn", "pgpass", "n1/patroni.yml"):
        assert stat.S_IMODE((cluster.directory / name).stat().st_mode) == 0o600
    words = [getattr(secrets, name) for name in ("superuser", "replication", "rewind", "app", "rest")]
    for node in spec.nodes:
        for log in (cluster.directory / node.name / "log").iterdir():
            text = log.read_text(errors="replace")
            assert not [word for word in words if word in text], log


def test_no_password_on_a_command_line(cluster: RunningCluster) -> None:
    """No process of the cluster was started with a password in its arguments."""
    _, secrets = ClusterDirectory(cluster.directory).load()
    found = cluster.local.processes("n1")
    lasting = {found.supervisor, found.etcd, found.patroni, found.postmaster}
    read = set()
    for pid in pids(cluster.local, "n1"):
        with suppress(FileNotFoundError, ProcessLookupError):  # a session, or a worker of PostgreSQL's, that has ended
            line = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
            read.add(pid)
            for word in (secrets.superuser, secrets.replication, secrets.rewind, secrets.app, secrets.rest):
                assert word not in line
    assert lasting <= read


async def test_patroni_kept_the_configuration(cluster: RunningCluster) -> None:
    """What Patroni runs with is what was rendered: it clamps what it dislikes and only warns."""
    spec, secrets = ClusterDirectory(cluster.directory).load()
    from outlive.patroni.client import PatroniClient

    patroni = PatroniClient(f"http://127.0.0.1:{spec.nodes[0].ports.rest}", secrets.rest, timeout_s=60.0)
    try:
        config = await patroni.config()
    finally:
        await patroni.close()
    timings = {name: config[name] for name in ("ttl", "loop_wait", "retry_timeout", "primary_start_timeout")}
    assert timings == {"ttl": 20, "loop_wait": 1, "retry_timeout": 3, "primary_start_timeout": 0}
    assert (config["synchronous_mode"], config["synchronous_mode_strict"]) == ("quorum", True)


def test_down_leaves_no_process_and_up_brings_the_data_back(lone_node: LocalCluster) -> None:
    """After `down` every process is gone; after the next `up` the committed row is there."""
    dsn = asyncio.run(lone_node.start())
    asyncio.run(_execute(dsn, "CREATE TABLE kept AS SELECT 42 AS answer"))
    running = pids(lone_node, "n1")
    down = outlive("down", directory=lone_node.directory.root)
    assert down.returncode == 0, down.stderr
    assert not [pid for pid in running if processes.is_alive(pid)]
    assert not (lone_node.directory.root / "client.dsn").exists()
    assert outlive("up", directory=lone_node.directory.root).returncode == 0
    assert asyncio.run(_execute(dsn, "SELECT answer FROM kept")) == 42


def test_a_supervisor_that_was_killed_is_replaced_without_an_outage(lone_node: LocalCluster) -> None:
    """The next `up` starts a supervisor that adopts etcd and Patroni as they run; `down` still stops all."""
    before = lone_node.processes("n1")
    os.kill(before.supervisor, 9)
    eventually(lambda: supervisor_pid(lone_node.directory.node("n1")) is None)
    asyncio.run(lone_node.start())
    after = lone_node.processes("n1")
    assert (after.etcd, after.patroni, after.postmaster) == (before.etcd, before.patroni, before.postmaster)
    assert after.supervisor != before.supervisor
    asyncio.run(lone_node.stop())
    assert not [pid for pid in (after.etcd, after.patroni, after.postmaster) if pid and processes.is_alive(pid)]


def test_what_an_adopting_supervisor_never_saw_it_gives_no_lease_up_for(lone_node: LocalCluster) -> None:
    """When the processes of an earlier supervisor die, the new one starts Patroni again and leaves the lease alone."""
    os.kill(lone_node.processes("n1").supervisor, 9)
    eventually(lambda: supervisor_pid(lone_node.directory.node("n1")) is None)
    asyncio.run(lone_node.start())
    adopted = lone_node.processes("n1")
    assert adopted.patroni
    lone_node.kill_node("n1")
    files = lone_node.directory.node("n1")
    eventually(lambda: (state := read_state(files)) is not None and _other(state.patroni, adopted.patroni), within_s=60)
    acts = [entry["act"] for entry in Journal(files.journal).entries()]
    assert "lease-revoked" not in acts


def test_down_stops_what_a_killed_supervisor_left(lone_node: LocalCluster) -> None:
    """`down` without a supervisor still finds and stops etcd, Patroni and PostgreSQL."""
    left = lone_node.processes("n1")
    os.kill(left.supervisor, 9)
    eventually(lambda: supervisor_pid(lone_node.directory.node("n1")) is None)
    assert outlive("down", directory=lone_node.directory.root).returncode == 0
    assert not [pid for pid in (left.etcd, left.patroni, left.postmaster) if pid and processes.is_alive(pid)]


def test_stopping_what_is_left_spares_the_caller_s_other_children(lone_node: LocalCluster) -> None:
    """A program that stops a cluster without a supervisor keeps its other processes, and their exit status."""
    os.kill(lone_node.processes("n1").supervisor, 9)
    eventually(lambda: supervisor_pid(lone_node.directory.node("n1")) is None)
    with subprocess.Popen(["sleep", "60"]) as living, subprocess.Popen(["sh", "-c", "exit 7"]) as ended:
        asyncio.run(lone_node.stop())
        assert living.poll() is None
        assert ended.wait(60) == 7, "its exit status was taken by somebody else"
        living.kill()


def test_an_interrupted_up_leaves_nothing_that_down_does_not_find(tmp_path: Path) -> None:
    """`down` right after an `up` was killed stops every supervisor, even one that has hardly been started."""
    directory = ClusterDirectory(tmp_path / "cluster")
    command = [sys.executable, "-m", "outlive.cli.main", "up", "--nodes", "1", "--dir", str(directory.root)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as up:
        eventually(lambda: supervisor_pid(directory.node("n1")) is not None)
        up.kill()
    supervisor = supervisor_pid(directory.node("n1"))
    assert supervisor is not None
    assert outlive("down", directory=directory.root).returncode == 0
    assert not processes.is_alive(supervisor)
    for process in psutil.process_iter(["cmdline"]):
        assert str(directory.root) not in " ".join(process.info["cmdline"] or ())


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    """`up` on a kept port that another program holds says which, and starts nothing."""
    local = LocalCluster(tmp_path / "cluster", nodes=1)
    spec, secrets = make_or_load(local.directory, Wish(nodes=1))
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        node = replace(spec.nodes[0], ports=replace(spec.nodes[0].ports, postgres=taken))
        local.directory.write(replace(spec, nodes=(node,)), secrets)
        refused = outlive("up", directory=local.directory.root)
    assert refused.returncode == 2
    assert f"port {taken}, kept for PostgreSQL of n1" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not local.runs()


def test_data_of_another_major_is_refused(tmp_path: Path) -> None:
    """`up` over a data directory that another PostgreSQL made names both releases and touches nothing."""
    directory = ClusterDirectory(tmp_path / "cluster")
    make_or_load(directory, Wish(nodes=1))
    data = directory.node("n1").data
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("14\n")
    refused = outlive("up", directory=directory.root)
    assert refused.returncode == 2
    assert "was made by PostgreSQL 14" in refused.stderr
    assert sorted(path.name for path in data.iterdir()) == ["PG_VERSION"]


@pytest.mark.parametrize(
    ("prepare", "sentence"),
    [
        (lambda root: (root / "thesis.txt").write_text("mine"), "no cluster.json"),
        (lambda root: (root / "cluster.json").write_text("{"), "is damaged"),
        (lambda root: (root / "cluster.json").write_text('{"scope": 1}'), "is damaged"),
    ],
)
def test_a_strange_directory_is_left_alone(tmp_path: Path, prepare: object, sentence: str) -> None:
    """`up` and `down --destroy` refuse a directory that is no whole cluster, and remove nothing from it."""
    assert callable(prepare)
    prepare(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    for command in (("up",), ("down", "--destroy", "--yes")):
        refused = outlive(*command, directory=tmp_path)
        assert refused.returncode == 2, refused.stderr
        assert sentence in refused.stderr
        assert "Traceback" not in refused.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_logs_are_followed_until_interrupted(cluster: RunningCluster) -> None:
    """`logs --follow` shows a line that is written after it began, and Ctrl-C ends it with 130 and no traceback."""
    log = cluster.local.directory.node("n1").log("supervisor")
    command = [sys.executable, "-m", "outlive.cli.main", "logs", "n1", "--component", "supervisor", "--follow"]
    with subprocess.Popen(
        [*command, "--dir", str(cluster.directory)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as shown:
        output = shown.stdout
        assert output is not None
        assert output.readline() == "==> n1 supervisor <==\n"
        with log.open("a") as file:
            file.write("a new line\n")
        eventually(lambda: "a new line" in output.readline())
        shown.send_signal(signal.SIGINT)
        _, complaint = shown.communicate(timeout=LIMIT_S)
    assert shown.returncode == 130
    assert "Traceback" not in complaint


def test_another_shape_than_the_existing_one_is_refused(cluster: RunningCluster) -> None:
    """`up --nodes 5` on a cluster of three says so instead of ignoring it."""
    refused = outlive("up", "--nodes", "5", directory=cluster.directory)
    assert refused.returncode == 2
    assert "was made with --nodes 3, not 5" in refused.stderr


def test_a_witness_votes_and_holds_nothing(tmp_path: Path) -> None:
    """Two data nodes and a witness make three votes; the witness runs etcd alone and is in no DSN."""
    local = LocalCluster(tmp_path / "cluster", nodes=2, witnesses=1)
    try:
        dsn = asyncio.run(local.start())
        witness = local.processes("w1")
        assert (witness.patroni, witness.postmaster, witness.others) == (None, None, ())
        assert dsn.count("127.0.0.1") == 2
        _, told = status(local.directory.root)
        assert [node["role"] for node in told["nodes"] if node["name"] == "w1"] == ["witness"]
        assert told["critical_writes_safe"] is True
    finally:
        asyncio.run(local.stop())


def test_a_first_start_that_was_cut_short_begins_anew(tmp_path: Path) -> None:
    """Half a data directory of a cluster that was never whole does not block the next `up`, and is not removed."""
    local = LocalCluster(tmp_path / "cluster", nodes=1)
    make_or_load(local.directory, Wish(nodes=1))
    data = local.directory.node("n1").data
    data.mkdir(parents=True, mode=0o700)
    (data / "PG_VERSION").write_text("18\n")
    try:
        up = outlive("up", directory=local.directory.root)
        assert up.returncode == 0, up.stderr
        aside = next(local.directory.root.glob("cut-short-*"))
        assert (aside / "n1" / "data" / "PG_VERSION").exists()
    finally:
        asyncio.run(local.stop())


DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")


def test_an_installed_postgresql_is_used(tmp_path: Path) -> None:
    """`up --postgres-bin` runs the oldest supported release, where the newest one's settings don't exist."""
    require("postgresql-15", (DEBIAN_15 / "postgres").exists(), f"no PostgreSQL 15 in {DEBIAN_15}")
    directory = tmp_path / "cluster"
    try:
        up = outlive("up", "--nodes", "2", "--witness", "1", "--postgres-bin", str(DEBIAN_15), directory=directory)
        assert up.returncode == 0, up.stderr
        assert str(asyncio.run(_execute(up.stdout.strip(), "SHOW server_version"))).startswith("15.")
        for node in ClusterDirectory(directory).load()[0].data_nodes:
            assert asyncio.run(_execute(_single(up.stdout.strip(), node.ports.postgres), "SELECT 1")) == 1
        assert status(directory)[1]["critical_writes_safe"] is True
    finally:
        assert outlive("down", directory=directory).returncode == 0


def test_a_directory_without_programs_is_refused(tmp_path: Path) -> None:
    """`up --postgres-bin` on a directory without a server says what to name instead, and makes nothing."""
    refused = outlive("up", "--postgres-bin", str(tmp_path), directory=tmp_path / "cluster")
    assert refused.returncode == 2
    assert f"{tmp_path} has no program postgres" in refused.stderr
    assert not (tmp_path / "cluster").exists()


def test_patroni_accepts_the_rendered_production_profile(cluster: RunningCluster, tmp_path: Path) -> None:
    """Patroni's own `--validate-config`, which asks etcd too, finds nothing to complain about."""
    spec, _ = ClusterDirectory(cluster.directory).load()
    address = _own_address()

    rendered = outlive(
        "render", "patroni", "--node", "n1", "--profile", "production", "--set", f"POD_IP={address}",
        "--etcd", f"127.0.0.1:{spec.nodes[0].ports.etcd_client}",
        "--home", str(tmp_path), "--postgres-bin", spec.postgres_bin,
        *(f"--set={name}=secret" for name in _PASSWORDS),
    )  # fmt: skip
    assert rendered.returncode == 0, rendered.stderr
    assert "${" not in rendered.stdout
    config = tmp_path / "patroni.yml"
    config.write_text(rendered.stdout)
    checked = subprocess.run(
        [sys.executable, "-m", "patroni", "--validate-config", str(config)],
        check=False,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


_PASSWORDS = (
    "PATRONI_SUPERUSER_PASSWORD",
    "PATRONI_REPLICATION_PASSWORD",
    "PATRONI_REWIND_PASSWORD",
    "PATRONI_REST_PASSWORD",
)


def _own_address() -> str:
    """An address of this machine that is not loopback, which Patroni wants."""
    shown = subprocess.run(["hostname", "-I"], check=False, capture_output=True, text=True, timeout=60).stdout
    return next((address for address in shown.split() if "." in address), "192.0.2.1")


def _single(dsn: str, port: int | None) -> str:
    """The DSN of one node, whatever its role: the database is on every one of them as soon as `up` returns."""
    login = dsn.partition("@")[0]
    return f"{login}@127.0.0.1:{port}/agents"


def _other(process: object, pid: int | None) -> bool:
    return process is not None and getattr(process, "pid", pid) != pid


async def _execute(dsn: str, statement: str) -> object:
    connection = await asyncpg.connect(dsn, timeout=60)
    try:
        # A lone node has no standby to wait for, so this is as durable as it can be.
        return await connection.fetchval(statement)
    finally:
        await connection.close()
