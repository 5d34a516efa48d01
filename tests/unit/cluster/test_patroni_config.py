"""Patroni's configuration, against files that were read and approved by people."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from outlive.cluster.plan.patroni_config import PatroniSpec, render
from outlive.cluster.spec import Profile, Secrets, Tags

GOLDEN = Path(__file__).parent / "golden"
SECRETS = Secrets(superuser="S", replication="R", rewind="W", app="A", rest="T")


def spec(profile: Profile, *, major: int = 18, synchronous: bool = True) -> PatroniSpec:
    """A node as its profile has it: a real host, or one of three on this machine."""
    real = profile is Profile.PRODUCTION
    return PatroniSpec(
        name="n1",
        scope="outlive",
        namespace="/service/",
        profile=profile,
        host="${POD_IP}" if real else "127.0.0.1",
        postgres_port=5432,
        rest_port=8008,
        etcd_hosts=("etcd1:2379", "etcd2:2379", "etcd3:2379"),
        home="/var/lib/outlive",
        postgres_bin="/usr/lib/postgresql/18/bin",
        postgres_major=major,
        synchronous=synchronous,
        network="10.0.0.0/8" if real else "127.0.0.1/32",
        tags=Tags(nofailover=real),
    )


@pytest.mark.parametrize("profile", Profile)
def test_rendered_configuration_is_the_approved_one(profile: Profile) -> None:
    """Each profile renders to its golden file, key for key."""
    approved = yaml.safe_load((GOLDEN / f"{profile.value}.yml").read_text())
    assert render(spec(profile), SECRETS) == approved


@pytest.mark.parametrize("profile", Profile)
def test_archiving_is_the_nodes_own_setting(profile: Profile) -> None:
    """With an archive command, and only then, the node's own parameters turn archiving on."""
    approved = yaml.safe_load((GOLDEN / "archiving.yml").read_text())
    archiving = replace(spec(profile), archive_command="exec python3 -ISs archive_client.py outlive-archiver-1 %f")
    assert yaml.safe_load(yaml.safe_dump(render(archiving, SECRETS)))["postgresql"]["parameters"] == approved
    assert "archive_mode" not in (GOLDEN / f"{profile.value}.yml").read_text()


@pytest.mark.parametrize("profile", Profile)
def test_timings_satisfy_patroni(profile: Profile) -> None:
    """ttl leaves room for a loop and two retries, and nothing is below the floors that Patroni enforces."""
    dynamic = yaml.safe_load((GOLDEN / f"{profile.value}.yml").read_text())["bootstrap"]["dcs"]
    assert dynamic["loop_wait"] + 2 * dynamic["retry_timeout"] <= dynamic["ttl"]
    assert (dynamic["ttl"] >= 20, dynamic["loop_wait"] >= 1, dynamic["retry_timeout"] >= 3) == (True, True, True)


def test_a_lone_node_does_not_wait_for_a_standby() -> None:
    """With one data node synchronous mode is off: strict mode would block every write for ever."""
    rendered = yaml.safe_load(yaml.safe_dump(render(spec(Profile.FAST, synchronous=False), SECRETS)))
    assert rendered["bootstrap"]["dcs"]["synchronous_mode"] == "off"
    assert rendered["bootstrap"]["dcs"]["synchronous_mode_strict"] is False


@pytest.mark.parametrize("major", [15, 16, 17, 18])
def test_parameters_exist_in_the_release(major: int) -> None:
    """Settings that came with a release are given to no earlier one."""
    rendered = yaml.safe_load(yaml.safe_dump(render(spec(Profile.FAST, major=major), SECRETS)))
    parameters = rendered["bootstrap"]["dcs"]["postgresql"]["parameters"]
    assert ("summarize_wal" in parameters) == (major >= 17)
    assert ("io_method" in parameters) == (major >= 18)
    assert ({"locale-provider": "builtin"} in rendered["bootstrap"]["initdb"]) == (major >= 17)
