"""`outlive demo`: the main job."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from outlive.cli.terminal import await_or_exit, put_json, say
from outlive.demo.environment import Environment, Fault, GivenDatabase
from outlive.demo.options import DEFAULT_LLM_LATENCY_S, Options
from outlive.demo.planting import Defect
from outlive.errors import ConfigurationError, DurabilityNotMetError

if TYPE_CHECKING:
    from outlive.demo.progress import Narrator
    from outlive.demo.report import Report

STDOUT = Path("-")


def demo(
    agents: Annotated[int, typer.Option(help="Agents at work at a time.")] = 8,
    workers: Annotated[int, typer.Option(help="Worker processes that they live in.")] = 2,
    transcripts: Annotated[
        Path | None,
        typer.Option(help="Conversations in the OpenAI chat format, one a line.", show_default="those that ship"),
    ] = None,
    fault: Annotated[
        Fault | None, typer.Option(help="What happens to the primary's node.", show_default="node; none with --dsn")
    ] = None,
    dsn: Annotated[str | None, typer.Option(help="Use this database instead of a cluster of its own.")] = None,
    seed: Annotated[int, typer.Option(help="Makes the simulated LLM repeat itself.")] = 1,
    llm_latency: Annotated[float, typer.Option(help="Seconds that it takes to answer.")] = DEFAULT_LLM_LATENCY_S,
    repeat: Annotated[
        int | None, typer.Option(help="How often each transcript is lived.", show_default="1; 5 for those that ship")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file; - is stdout.")] = None,
    directory: Annotated[
        Path | None,
        typer.Option("--dir", help="The cluster's directory.", show_default="a scratch one, removed at the end"),
    ] = None,
    allow_degraded: Annotated[
        bool, typer.Option("--allow-degraded", help="With --dsn: go on without a synchronous standby.")
    ] = False,
    plant: Annotated[
        Defect | None, typer.Option(help="Self-test: plant this defect; the demo must turn red.", hidden=True)
    ] = None,
) -> None:
    """Agents at work, the primary killed in the middle, and the proof that nothing was lost.

    Starts a cluster of three nodes, lets agents live through conversations, kills the primary's node and later a
    worker process, waits until every conversation is complete, and verifies it against a ledger kept outside the
    database. Exits with 0 only if every promise held.

    \b
    Examples:
      outlive demo
      outlive demo --fault host --agents 16
      outlive demo --transcripts conversations.jsonl --json result.json
    """
    if dsn is not None and directory is not None:
        raise typer.BadParameter("--dsn and --dir exclude each other", param_hint="--dir")
    options = Options(
        agents=agents,
        workers=workers,
        transcripts=transcripts,
        fault=fault or (Fault.NODE if dsn is None else Fault.NONE),
        seed=seed,
        llm_latency_s=llm_latency,
        repeat=repeat,
        plant=plant,
        degraded="allow" if allow_degraded else "refuse",
    )
    report = await_or_exit(_run(options, dsn, directory, json))
    _publish(report, json)
    if not report.ok:
        raise typer.Exit(1)


async def _run(options: Options, dsn: str | None, directory: Path | None, json: Path | None) -> Report:
    from outlive.demo.coordinator import Demo
    from outlive.demo.progress import narrator
    from outlive.demo.scratch import clear_left, own_directory
    from outlive.demo.transcripts import read_transcripts

    scripts = read_transcripts(options.transcripts)
    options.check(scripts)
    _check_target(json)
    if dsn is not None:
        GivenDatabase(dsn).check(options.fault)
    # A polite end is the same as Ctrl-C: everything that was started is stopped.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, signal.raise_signal, signal.SIGINT)
    await clear_left(say)
    with own_directory("ledger-") as scratch:
        keep = True
        try:
            with narrator() as teller:
                environment = _environment(dsn, directory, teller)
                report = await Demo(options, scripts, environment, scratch, teller).run()
        except asyncio.CancelledError:
            keep = False
            raise
        except DurabilityNotMetError as error:
            error.hint = "Bring a standby back, or say --allow-degraded to go on without one."
            raise
        else:
            keep = not report.ok
            return report
        finally:
            _clear(scratch, keep=keep)


def _clear(scratch: Path, *, keep: bool) -> None:
    from outlive.backup.restoring.locked import LOCK

    if keep and any(scratch.glob("*.log")):
        (scratch / LOCK).unlink()  # what is kept does not go with the next demo
        say(f"The ledger and the workers' logs are kept in {scratch}.")
    else:
        shutil.rmtree(scratch, ignore_errors=True)


def _environment(dsn: str | None, directory: Path | None, teller: Narrator) -> Environment:
    from outlive.demo.local_cluster import OwnCluster

    if dsn is not None:
        return GivenDatabase(dsn)
    return OwnCluster(directory.expanduser().absolute() if directory is not None else None, teller.say)


def _check_target(json: Path | None) -> None:
    if json is not None and json != STDOUT and not json.absolute().parent.is_dir():
        raise ConfigurationError(f"{json} can't be written: its directory does not exist")


def _publish(report: Report, json: Path | None) -> None:
    from outlive.demo.progress import print_report
    from outlive.demo.report import write_json

    sys.stdout.flush()
    print_report(report, to_stderr=json == STDOUT)
    if json == STDOUT:
        put_json(report.to_json())
    elif json is not None:
        write_json(report, json)
