"""A DBOS workflow whose own tables live on the cluster: it goes on when the primary dies. No API key needed.

python examples/dbos_workflow.py "$OUTLIVE_DSN"
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from dbos import DBOS, DBOSConfig

import outlive.sync
from outlive.adapters.sqlalchemy import create_engine

STEPS = 5


@DBOS.step()
def buy(step: int) -> str:
    """What would be paid for: DBOS notes its result, and a workflow that goes on doesn't do it again."""
    return f"ticket {step}"


@DBOS.workflow()
def journey(steps: int) -> list[str]:
    """Several steps, one after the other."""
    return [buy(step) for step in range(steps)]


@contextmanager
def launched(dsn: str) -> Iterator[None]:
    """DBOS on an engine that follows the primary."""
    with outlive.sync.connect(dsn) as db:
        engine = create_engine(db, pool_pre_ping=True)
        config: DBOSConfig = {"name": "outlive-example", "system_database_engine": engine, "log_level": "WARNING"}
        DBOS(config=config)
        DBOS.launch()
        try:
            yield
        finally:
            DBOS.destroy()
            engine.dispose()


def main(dsn: str) -> None:
    """Run one journey."""
    with launched(dsn):
        for ticket in DBOS.start_workflow(journey, STEPS).get_result():
            print(ticket)


if __name__ == "__main__":
    main(sys.argv[1])
