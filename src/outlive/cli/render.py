"""`outlive render`: configuration files for real hosts, by the same rules as the local cluster's."""

from __future__ import annotations

import json
import os
from typing import Annotated

import typer

from outlive.cli.terminal import call_or_exit, put
from outlive.cluster.spec import Profile, Secrets, Tags
from outlive.errors import ConfigurationError

PYTHON = "/opt/outlive/bin/python3"
CLIENT = "/opt/outlive/lib/python3.11/site-packages/outlive/backup/archive_client.py"
Variables = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A value for ${NAME}; may be repeated.")
]
app = typer.Typer(help="Print configuration files for real hosts.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Print configuration files for real hosts."""


@app.command()
def patroni(
    node: Annotated[str, typer.Option(help="The node's name.")],
    profile: Annotated[Profile, typer.Option(help="Timings and sizes.")] = Profile.PRODUCTION,
    scope: Annotated[str, typer.Option(help="The cluster's name.")] = "outlive",
    namespace: Annotated[str, typer.Option(help="The path in etcd under which clusters lie.")] = "/service/",
    host: Annotated[str, typer.Option(help="The address that the others reach this node at.")] = "${POD_IP}",
    etcd: Annotated[str, typer.Option(help="etcd's members, HOST:PORT,...")] = "etcd1:2379,etcd2:2379,etcd3:2379",
    home: Annotated[str, typer.Option(help="The directory of the node's files.")] = "/var/lib/outlive",
    postgres_bin: Annotated[str, typer.Option(help="PostgreSQL's programs.")] = "/usr/lib/postgresql/18/bin",
    postgres_major: Annotated[int, typer.Option(min=15, max=18, help="PostgreSQL's major release.")] = 18,
    network: Annotated[str, typer.Option(help="Who may connect (CIDR).")] = "0.0.0.0/0",
    tag: Annotated[
        list[str] | None, typer.Option(help="nofailover, noloadbalance, clonefrom; may be repeated.")
    ] = None,
    variables: Variables = None,
    archive: Annotated[bool, typer.Option("--archive", help="Archive WAL through the node's archiver.")] = False,
    python: Annotated[str, typer.Option(help="The Python that Outlive is installed in there.")] = PYTHON,
    client: Annotated[str, typer.Option(help="The archive client's file there.")] = CLIENT,
) -> None:
    """Print Patroni's configuration of a node.

    ${NAME} in it, as in ${POD_IP} or ${PATRONI_REST_PASSWORD}, is filled in from --set or from the environment;
    what has no value there stays for the host to fill in.

    \b
    Examples:
      outlive render patroni --node n1 --profile production
      outlive render patroni --node n1 --set POD_IP=10.0.0.7 --etcd e1:2379,e2:2379,e3:2379
      outlive render patroni --node n1 --archive --python /opt/outlive/bin/python3
    """
    import yaml

    from outlive.cluster.plan import archive_command, patroni_config
    from outlive.cluster.plan.placeholders import fill

    spec = patroni_config.PatroniSpec(
        name=node,
        scope=scope,
        namespace=namespace,
        profile=profile,
        host=host,
        postgres_port=5432,
        rest_port=8008,
        etcd_hosts=tuple(etcd.split(",")),
        home=home,
        postgres_bin=postgres_bin,
        postgres_major=postgres_major,
        network=network,
        archive_command=archive_command.render(python, client, home) if archive else None,
        tags=call_or_exit(lambda: _tags(tag or [])),
    )
    secrets = Secrets(
        superuser="${PATRONI_SUPERUSER_PASSWORD}",
        replication="${PATRONI_REPLICATION_PASSWORD}",
        rewind="${PATRONI_REWIND_PASSWORD}",
        rest="${PATRONI_REST_PASSWORD}",
        app="",
    )
    values = os.environ | call_or_exit(lambda: _assignments(variables or []))
    rendered = yaml.safe_dump(patroni_config.render(spec, secrets), sort_keys=False, width=10_000)
    put(fill(rendered, values).rstrip())


@app.command()
def archiver(
    node: Annotated[str, typer.Option(help="The node's name.")] = "${HOSTNAME}",
    storage: Annotated[str, typer.Option(help="Where to: s3://, gs://, az:// or file:///.")] = "${OUTLIVE_STORAGE}",
    options_file: Annotated[str | None, typer.Option(help="How the store is reached: a file there.")] = None,
    key_file: Annotated[str | None, typer.Option(help="The key that encrypts: a file there.")] = None,
    objective: Annotated[float, typer.Option(help="Seconds that the loss of every node may take.", min=1.0)] = 5.0,
    home: Annotated[str, typer.Option(help="The directory of the node's files.")] = "/var/lib/outlive",
    python: Annotated[str, typer.Option(help="The Python that Outlive is installed in there.")] = PYTHON,
    unit: Annotated[bool, typer.Option("--unit", help="Print the systemd unit instead.")] = False,
    variables: Variables = None,
) -> None:
    """Print the configuration of a node's archiver, or the systemd unit that runs it.

    ${NAME} in it is filled in from --set or from the environment. It holds a password: keep it 0600, readable by the
    account that PostgreSQL runs under, which the archiver runs under too.

    \b
    Examples:
      outlive render archiver --node n1 --storage s3://backups/prod --options-file /etc/outlive/s3.json
      outlive render archiver --unit > /etc/systemd/system/outlive-archiver.service
    """
    from outlive.cluster.plan import archiver_config
    from outlive.cluster.plan.patroni_config import REPLICATION
    from outlive.cluster.plan.placeholders import fill
    from outlive.cluster.spec import ArchiveSpec

    if unit:
        put(archiver_config.unit(python, home).rstrip())
        return
    archive = ArchiveSpec(url=storage, options_file=options_file, key_file=key_file, objective_s=objective)
    password = "${PATRONI_REPLICATION_PASSWORD}"  # noqa: S105 - the place for one
    rendered = archiver_config.render(
        archive, node=node, home=home, host="127.0.0.1", port=5432, user=REPLICATION, password=password,
        data=f"{home}/data", state=f"{home}/archiver-state.json",
    )  # fmt: skip
    values = os.environ | call_or_exit(lambda: _assignments(variables or []))
    put(fill(json.dumps(rendered, indent=2), values))


def _tags(names: list[str]) -> Tags:

    known = ("nofailover", "noloadbalance", "clonefrom")
    for name in names:
        if name not in known:
            raise ConfigurationError(f"there is no tag {name!r}", hint=f"There are {', '.join(known)}.")
    return Tags(**dict.fromkeys(names, True))


def _assignments(texts: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    for name, equals, _ in pairs:
        if not equals or not name.isidentifier():
            raise ConfigurationError(f"--set takes NAME=VALUE, not {name!r}")
    return {name: value for name, _, value in pairs}
