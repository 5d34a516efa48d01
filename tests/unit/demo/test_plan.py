"""When what is hurt, how an outage is measured, what an answer costs."""

from __future__ import annotations

from decimal import Decimal

import pytest

from outlive.demo.environment import Fault, GivenDatabase
from outlive.demo.options import Options
from outlive.demo.plan.acts import Act, Standing, next_act
from outlive.demo.plan.outage import longest_gap_s
from outlive.demo.plan.price import usage
from outlive.demo.plan.script import read_script
from outlive.demo.planting import Defect
from outlive.errors import ConfigurationError


@pytest.mark.parametrize(
    ("acknowledged", "fault_is_due", "worker_kill_is_due", "act"),
    [
        (0, True, True, None),
        (32, True, True, None),
        (34, True, True, Act.INJECT_FAULT),
        (90, True, True, Act.INJECT_FAULT),
        (66, False, True, None),
        (67, False, True, Act.KILL_WORKER),
        (99, False, False, None),
        (100, True, True, None),
    ],
)
def test_the_share_of_the_work_says_what_is_hurt(
    acknowledged: int, fault_is_due: bool, worker_kill_is_due: bool, act: Act | None
) -> None:
    """First the node, then a worker, and nothing once the work is done."""
    standing = Standing(acknowledged, 100, fault_is_due=fault_is_due, worker_kill_is_due=worker_kill_is_due)
    assert next_act(standing) is act


def test_the_outage_is_the_longest_gap_from_the_fault_on() -> None:
    """The gap that the fault falls into counts; a longer one before it does not."""
    assert longest_gap_s([0.0, 5.0, 5.1, 6.1, 6.2], since=5.5) == pytest.approx(1.0)
    assert longest_gap_s([0.0, 5.0, 5.1, 6.1, 6.2], since=0.0) == pytest.approx(5.0)
    assert longest_gap_s([1.0], since=0.0) == 0.0


def test_an_answer_costs_its_prompt_and_itself() -> None:
    """Everything said before is paid again as the prompt."""
    script = read_script(
        {"messages": [{"role": "user", "content": "x" * 400}, {"role": "assistant", "content": ""}]}, "l"
    )
    taken = usage(script.messages, 1)
    assert taken.prompt_tokens == pytest.approx(100, abs=10)
    assert taken.dollars == taken.prompt_tokens * Decimal("0.0000025") + taken.answer_tokens * Decimal("0.00001")


@pytest.mark.parametrize(
    "options",
    [
        Options(workers=0),
        Options(agents=1, workers=2),
        Options(agents=1000),
        Options(llm_latency_s=-1),
        Options(repeat=0),
    ],
)
def test_an_option_out_of_range_is_refused(options: Options) -> None:
    """Before anything is started."""
    with pytest.raises(ConfigurationError, match="must lie between"):
        options.check([])


def test_a_defect_needs_a_conversation_to_be_planted_in() -> None:
    """A self-test that plants nothing would test nothing."""
    script = read_script({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}, "l")
    Options(plant=Defect.SWAP).check([script])
    with pytest.raises(ConfigurationError, match="plant 'rerun'"):
        Options(plant=Defect.RERUN).check([script])


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.NONE])
async def test_a_given_database_is_never_hurt(fault: Fault) -> None:
    """What the demo did not start it does not break."""
    with pytest.raises(ConfigurationError, match="given by --dsn"):
        await GivenDatabase("postgresql://nowhere").inject(fault)
