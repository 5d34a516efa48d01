"""The settings under which a server recovers, and under which it never touches anything else.

It has no TCP port, archives nothing, follows nobody, and keeps the sizes that the WAL was written under: recovery
refuses to begin with smaller ones, and prepared transactions need room.
Source: PostgreSQL documentation, "Recovery Target", "Hot Standby" (administrator's overview).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from outlive.backup.plan.targets import BackupEnd, Latest, LsnTarget, NameTarget, Target, TimeTarget
from outlive.model.lsn import Timeline

Settings = Mapping[str, str]
SUPERUSERS_RULES = "local all all trust\n"
"""For a socket in a directory that only the server's account can enter."""
_SIZES = {
    "max_connections": "max_connections setting",
    "max_worker_processes": "max_worker_processes setting",
    "max_wal_senders": "max_wal_senders setting",
    "max_prepared_transactions": "max_prepared_xacts setting",
    "max_locks_per_transaction": "max_locks_per_xact setting",
}
_FORGOTTEN = (
    "primary_conninfo",
    "primary_slot_name",
    "restore_command",
    "recovery_",
    "archive_cleanup_command",
    "promote_trigger_file",
    "synchronous_standby_names",
)


def sizes(control_data: str) -> Settings:
    """The sizes that the WAL was written under, out of what pg_controldata prints."""
    said = dict(line.partition(":")[::2] for line in control_data.splitlines())
    return {setting: said[label].strip() for setting, label in _SIZES.items() if label in said}


def isolated(socket_directory: str, port: int, major: int) -> dict[str, str]:
    """Nothing but a Unix socket; `port` only names it."""
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": socket_directory,
        "port": str(port),
        "hba_file": f"{socket_directory}/pg_hba.conf",
        "ident_file": f"{socket_directory}/pg_ident.conf",
        "archive_mode": "off",
        "hot_standby": "off",
        "autovacuum": "off",
        "max_wal_size": "4GB",
        "checkpoint_timeout": "1h",
        "shared_buffers": "128MB",
        "logging_collector": "off",
        "log_destination": "stderr",
    }
    return settings | ({"io_method": "sync"} if major >= 18 else {})


def recovery(target: Target, timeline: Timeline, restore_command: str) -> Settings:
    """Where recovery stops; it becomes a primary of its own there."""
    return {
        "restore_command": restore_command,
        "recovery_target_timeline": str(timeline),
        "recovery_target_action": "promote",
        **_stop(target),
    }


def _stop(target: Target) -> Settings:
    match target:
        case TimeTarget(at):
            return {"recovery_target_time": at.isoformat(sep=" ")}
        case LsnTarget(lsn):
            # Inclusive would replay the record that begins there too, and it may be another transaction's commit.
            return {"recovery_target_lsn": str(lsn), "recovery_target_inclusive": "off"}
        case NameTarget(name):
            return {"recovery_target_name": name}
        case BackupEnd():
            return {"recovery_target": "immediate"}
        case Latest():
            return {}
        case _:
            assert_never(target)


def render(settings: Settings) -> str:
    """As the text of a configuration file."""
    return "".join(f"{name} = {_quoted(value)}\n" for name, value in settings.items())


def without_recovery(configuration: str) -> str:
    """A server's `postgresql.auto.conf` without what made it follow or recover from something else."""
    kept = [line for line in configuration.splitlines() if not line.lstrip().startswith(_FORGOTTEN)]
    return "".join(f"{line}\n" for line in kept)


def _quoted(value: str) -> str:
    doubled = value.replace("\\", "\\\\").replace("'", "''")
    return f"'{doubled}'"
