"""What a demo is asked to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from outlive.client.options import DegradedName
from outlive.demo.environment import Fault
from outlive.demo.plan.script import Script
from outlive.demo.planting import Defect, victim
from outlive.errors import ConfigurationError

MAX_AGENTS = 256
MAX_WORKERS = 32
LEASE_S = 5.0
SHIPPED_REPEAT = 5
DEFAULT_LLM_LATENCY_S = 0.08
TOOL_LATENCY_SHARE = 0.25
WORK_TIMEOUT_S = 180.0


@dataclass(frozen=True, slots=True)
class Options:
    """A demo's options, as the command line gives them. `repeat` None is 1 for a file, 5 for what ships."""

    agents: int = 8
    workers: int = 2
    transcripts: Path | None = None
    fault: Fault = Fault.NODE
    seed: int = 1
    llm_latency_s: float = DEFAULT_LLM_LATENCY_S
    repeat: int | None = None
    plant: Defect | None = None
    degraded: DegradedName = "refuse"
    lease_s: float = LEASE_S

    @property
    def copies(self) -> int:
        """How often each transcript is lived."""
        if self.repeat is not None:
            return self.repeat
        return SHIPPED_REPEAT if self.transcripts is None else 1

    @property
    def tool_latency_s(self) -> float:
        """How long a simulated tool takes."""
        return self.llm_latency_s * TOOL_LATENCY_SHARE

    def check(self, scripts: Sequence[Script]) -> None:
        """Make sure that this can be done with these conversations.

        Raises:
            ConfigurationError: an option is out of its range, or asks for what the transcripts don't have.
        """
        _within("--workers", self.workers, 1, MAX_WORKERS)
        _within("--agents", self.agents, self.workers, MAX_AGENTS)
        _within("--llm-latency", self.llm_latency_s, 0, 60)
        _within("--repeat", self.copies, 1, 1000)
        if self.plant is not None:
            victim(self.plant, scripts)

    def work_timeout_s(self, scripts: Sequence[Script]) -> float:
        """How long the work may take before it is given up: far more than it should."""
        answers = len([0 for script in scripts for message in script.messages if message["role"] == "assistant"])
        return WORK_TIMEOUT_S + 4.0 * self.llm_latency_s * answers / self.agents


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigurationError(f"{name} must lie between {low} and {high}, not {value}")
