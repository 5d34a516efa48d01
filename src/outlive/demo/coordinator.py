"""The demo from beginning to end. Read this first.

1  start the database          environment.py, local_cluster.py
2  put the agents to work      crew.py, worker.py, agent.py; what they are told goes into ledger.py
3  hurt it in the middle       plan/acts.py says when
4  wait until all is complete
5  verify                      verification.py, and the checker in `outlive.history`
6  undo a deletion             mishap.py, backups.py: restored from a backup that was taken before the work
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

import outlive
from outlive.client.cluster import Cluster
from outlive.demo.crew import Crew
from outlive.demo.environment import Environment, Fault, Injection
from outlive.demo.ledger import ConversationCompleted, Ledger, LedgerReader
from outlive.demo.mishap import undergo
from outlive.demo.options import Options
from outlive.demo.plan.acts import Act, Standing, next_act
from outlive.demo.plan.outage import longest_gap_s
from outlive.demo.plan.script import Script
from outlive.demo.planting import plant
from outlive.demo.prober import Prober
from outlive.demo.progress import Narrator, Progress
from outlive.demo.report import Report
from outlive.demo.transcripts import cast_scripts, write_transcripts
from outlive.demo.verification import verify
from outlive.demo.worker import Orders
from outlive.history import LlmPaid, Operation, TurnAcknowledged
from outlive.stores import AgentState, migrate
from outlive.system import chance, monotonic

WATCH_PERIOD_S = 0.05
SCHEMA_PREFIX = "outlive_demo_"


@dataclass(slots=True)
class Account:
    """What the ledger said so far."""

    reader: LedgerReader
    operations: list[Operation] = field(default_factory=list)
    turns: set[tuple[str, str]] = field(default_factory=set)
    completed: set[str] = field(default_factory=set)
    paid: Decimal = Decimal(0)

    def catch_up(self) -> None:
        """Read what was written since."""
        for entry in self.reader.new_entries():
            if isinstance(entry, ConversationCompleted):
                self.completed.add(entry.conversation)
                continue
            self.operations.append(entry)
            if isinstance(entry, TurnAcknowledged):
                self.turns.add((entry.conversation, entry.turn))
            elif isinstance(entry, LlmPaid):
                self.paid += entry.dollars


@dataclass(slots=True)
class Demo:
    """One run of the demo; `directory` is its own, for the ledger and the workers' logs."""

    options: Options
    scripts: Sequence[Script]
    environment: Environment
    directory: Path
    narrator: Narrator
    injection: Injection | None = None
    worker_killed: str | None = None

    async def run(self) -> Report:
        """All of it; whatever happens, what was started is stopped."""
        self.narrator.say(f"Starting {self.environment.description}.")
        try:
            dsn = await self.environment.start()
            await migrate(dsn)
            async with outlive.connect(dsn, degraded=self.options.degraded) as db:
                return await self._play(dsn, db)
        finally:
            await self.environment.stop()

    async def _play(self, dsn: str, db: Cluster) -> Report:
        run = f"{chance.getrandbits(40):010x}"
        scripts = cast_scripts(self.scripts, run, self.options.copies)
        write_transcripts(self.directory / "scripts", scripts)
        await AgentState(db).conversations.create([script.conversation for script in scripts])
        account = Account(LedgerReader(self.directory))
        backups = self.environment.backups
        backup = await backups.take() if backups is not None else None
        started_at = monotonic()
        async with (
            Prober(db, SCHEMA_PREFIX + run) as prober,
            Crew(self.directory, lambda name: self._orders(name, dsn)) as crew,
        ):
            await self._work(crew, prober, account, scripts)
        work_s = monotonic() - started_at
        report = await self._judge(db, prober, account, scripts, work_s)
        if backups is None or backup is None or not report.ok:
            return report
        conversations = [script.conversation for script in scripts]
        mishap = await undergo(db, backups, backup, account.operations, conversations, self.narrator.say)
        # Held against the ledger once more: what was brought back counts like what was never gone.
        verdict = await verify(AgentState(db), account.operations, scripts)
        return replace(report, mishap=mishap, verdict=verdict)

    async def _work(self, crew: Crew, prober: Prober, account: Account, scripts: Sequence[Script]) -> None:
        """Put the workers to work, hurt what is to be hurt, and wait until they are done or their time is over."""
        for number in range(1, self.options.workers + 1):
            await crew.hire(f"worker-{number}")
        self._announce(scripts)
        deadline = monotonic() + self.options.work_timeout_s(scripts)
        while crew.alive and monotonic() < deadline:
            account.catch_up()
            self.narrator.show(self._progress(crew, prober, account, scripts))
            await self._act(crew, account, scripts)
            crew.check()
            await asyncio.sleep(WATCH_PERIOD_S)
        crew.check()
        if crew.alive:
            self.narrator.say("The time is over and the work is not done; what is there is verified.")

    async def _act(self, crew: Crew, account: Account, scripts: Sequence[Script]) -> None:
        standing = Standing(
            acknowledged=len(account.turns),
            turns=_turn_count(scripts),
            fault_is_due=self.options.fault is not Fault.NONE and self.injection is None,
            worker_kill_is_due=self.worker_killed is None,
        )
        match next_act(standing):
            case Act.INJECT_FAULT:
                self.injection = await self.environment.inject(self.options.fault)
                self.narrator.say(_FAULTS[self.options.fault].format(node=self.injection.node))
            case Act.KILL_WORKER:
                await self._kill_worker(crew)
            case None:
                pass

    async def _kill_worker(self, crew: Crew) -> None:
        worker = crew.alive[0]
        await worker.kill()
        self.worker_killed = worker.name
        replacement = await crew.hire(f"worker-{len(crew.workers) + 1}")
        self.narrator.say(
            f"Killed {worker.name} with SIGKILL, started {replacement.name};"
            f" the leases of the dead are over within {self.options.lease_s:.0f} s."
        )

    async def _judge(
        self, db: Cluster, prober: Prober, account: Account, scripts: Sequence[Script], work_s: float
    ) -> Report:
        self.narrator.say(f"The work ended after {work_s:.1f} s. Verifying on the primary.")
        if self.options.plant is not None:
            with Ledger(self.directory / "planted.jsonl") as ledger:
                where = await plant(self.options.plant, db, scripts, ledger)
            self.narrator.say(f"Planted the defect {self.options.plant.value!r} in {where}.")
        account.catch_up()
        verdict = await verify(AgentState(db), account.operations, scripts)
        since = self.injection.at if self.injection is not None else 0.0
        outage_s = longest_gap_s(prober.acknowledged_at, since)
        return Report(verdict, outage_s, self.options.fault, self.injection, self.worker_killed, work_s)

    def _orders(self, name: str, dsn: str) -> Orders:
        number = int(name.rpartition("-")[2])
        place = (number - 1) % self.options.workers
        agents, rest = divmod(self.options.agents, self.options.workers)
        return Orders(
            name=name,
            dsn=dsn,
            transcripts=str(self.directory / "scripts"),
            ledger=str(self.directory / f"{name}.jsonl"),
            agents=agents + (place < rest),
            seed=self.options.seed,
            llm_latency_s=self.options.llm_latency_s,
            tool_latency_s=self.options.tool_latency_s,
            lease_s=self.options.lease_s,
            degraded=self.options.degraded,
        )

    def _announce(self, scripts: Sequence[Script]) -> None:
        options = self.options
        self.narrator.say(
            f"{options.agents} agents in {options.workers} worker processes live {len(scripts)} conversations,"
            f" {_turn_count(scripts):,} turns. The LLM is simulated: about {options.llm_latency_s * 1000:.0f} ms an"
            f" answer (a real one takes seconds), seed {options.seed}."
        )

    def _progress(self, crew: Crew, prober: Prober, account: Account, scripts: Sequence[Script]) -> Progress:
        last_ack = prober.acknowledged_at[-1] if prober.acknowledged_at else monotonic()
        return Progress(
            acknowledged=len(account.turns),
            turns=_turn_count(scripts),
            complete=len(account.completed),
            conversations=len(scripts),
            workers=len(crew.alive),
            dollars=float(account.paid),
            silence_s=monotonic() - last_ack,
        )


_FAULTS = {
    Fault.POSTGRES: "Killed PostgreSQL of the primary {node} with SIGKILL.",
    Fault.NODE: "Killed Patroni and PostgreSQL of the primary {node} with SIGKILL.",
    Fault.HOST: "Killed everything on the primary's node {node} with SIGKILL, its supervisor too: only the lease can"
    " tell now, in about 20 s.",
    Fault.SWITCHOVER: "Asked for a switchover away from {node}.",
}


def _turn_count(scripts: Sequence[Script]) -> int:
    return sum(len(script.messages) for script in scripts)
