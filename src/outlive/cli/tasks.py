"""`outlive state tasks`: the queues, from the shell."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from outlive.cli import state
from outlive.cli.ages import age_of
from outlive.cli.terminal import Json, call_or_exit, put, put_json, say

if TYPE_CHECKING:
    from outlive.stores import Task, TaskStatus

app = typer.Typer(help="See the queues, retry dead tasks, cancel and purge.", no_args_is_help=True)

Ids = Annotated[list[int], typer.Argument(help="Tasks, by the ids that `list` shows.")]
Queue = Annotated[str | None, typer.Option(help="Only those of this queue.")]


@app.callback()
def _group() -> None:
    """See the queues, retry dead tasks, cancel and purge."""


@app.command("list")
def list_tasks(
    queue: Queue = None,
    status: Annotated[
        str | None, typer.Option(help="Only those that are queued, running, finished, dead or cancelled.")
    ] = None,
    conversation: Annotated[str | None, typer.Option(help="Only those that belong to this conversation.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 100,
    after: Annotated[int, typer.Option(help="Go on after a page: the last id that it had.")] = 0,
    dsn: state.Dsn = None,
    json: Json = False,
) -> None:
    """List tasks in the order in which they were enqueued.

    \b
    Examples:
      outlive state tasks list --status dead
      outlive state tasks list --queue mails --json --limit 1000
    """
    wanted = call_or_exit(lambda: _status(status))
    found = state.with_state(
        dsn,
        lambda stores: stores.tasks.page(
            queue=queue, status=wanted, conversation=conversation, after=after, limit=limit
        ),
    )
    if json:
        put_json([_as_json(task) for task in found])
    else:
        put("\n".join(_line(task) for task in found) or "There are none.")


@app.command()
def show(
    task_id: Annotated[int, typer.Argument(help="The task's id.")], dsn: state.Dsn = None, json: Json = False
) -> None:
    """Show one task: its payload, progress, result and last error.

    \b
    Examples:
      outlive state tasks show 42
      outlive state tasks show 42 --json
    """
    task = state.with_state(dsn, lambda stores: stores.tasks.get(task_id))
    shown = _as_json(task)
    if json:
        put_json(shown)
    else:
        put("\n".join(f"{name}: {value}" for name, value in shown.items() if value is not None))


@app.command()
def depth(queue: Queue = None, dsn: state.Dsn = None, json: Json = False) -> None:
    """Count what waits and what runs in each queue, and tell how long the first one due has waited.

    \b
    Examples:
      outlive state tasks depth
      outlive state tasks depth --queue mails --json
    """
    depths = state.with_state(dsn, lambda stores: stores.tasks.depths(queue))
    if json:
        put_json([asdict(each) for each in depths])
        return
    for each in depths:
        put(
            f"{each.queue}: {each.due} due (the first for {each.waits_s:.0f} s), {each.delayed} later, "
            f"{each.running} running, {each.dead} dead"
        )
    if not depths:
        put("Nothing waits, and nothing is dead.")


@app.command()
def retry(ids: Ids, dsn: state.Dsn = None, json: Json = False) -> None:
    """Queue dead or cancelled tasks again, with all of their attempts before them.

    \b
    Examples:
      outlive state tasks retry 42 43
    """

    async def again(stores: Any) -> list[int]:
        for task_id in ids:
            await stores.tasks.requeue(await stores.tasks.get(task_id))
        return ids

    _done(state.with_state(dsn, again), "queued again", json=json)


@app.command()
def cancel(ids: Ids, dsn: state.Dsn = None, json: Json = False) -> None:
    """End tasks that are not over, and fence off whoever runs them.

    \b
    Examples:
      outlive state tasks cancel 42
    """

    async def end(stores: Any) -> dict[int, str]:
        return {task_id: (await stores.tasks.cancel(task_id)).value for task_id in ids}

    ended = state.with_state(dsn, end)
    if json:
        put_json(ended)
    else:
        put("\n".join(f"task {task_id} is {status}" for task_id, status in ended.items()))


@app.command()
def purge(
    older_than: Annotated[str, typer.Option(help="How long ago they ended: 30d, 12h.")],
    dead: Annotated[bool, typer.Option("--dead", help="Dead ones too.")] = False,
    batch: Annotated[int, typer.Option(min=1, max=10_000, help="How many at a time.")] = 500,
    dsn: state.Dsn = None,
    json: Json = False,
) -> None:
    """Delete tasks that finished or were cancelled long ago; their keys are forgotten with them.

    It goes in small batches, and may be stopped and begun again.

    \b
    Examples:
      outlive state tasks purge --older-than 30d
      outlive state tasks purge --older-than 90d --dead
    """
    from outlive.stores import TaskStatus

    age = call_or_exit(lambda: age_of(older_than))
    statuses = (TaskStatus.FINISHED, TaskStatus.CANCELLED, *([TaskStatus.DEAD] if dead else []))
    deleted = state.with_state(dsn, lambda stores: stores.tasks.expire(age, statuses=statuses, batch=batch))
    if json:
        put_json({"deleted": deleted})
    else:
        put(f"{deleted} tasks deleted")


def _done(ids: list[int], what: str, *, json: bool) -> None:
    if json:
        put_json({"tasks": ids})
    else:
        say(f"{len(ids)} tasks {what}")


def _status(text: str | None) -> TaskStatus | None:
    from outlive.errors import ConfigurationError
    from outlive.model import nearest
    from outlive.stores import TaskStatus

    known = [each.value for each in TaskStatus]
    if text is None or text in known:
        return None if text is None else TaskStatus(text)
    raise ConfigurationError(f"no task is ever {text!r}", hint=nearest.hint(text, known, f"It is: {', '.join(known)}."))


def _as_json(task: Task) -> dict[str, Any]:
    fields = asdict(task) | {"status": task.status.value}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in fields.items()}


def _line(task: Task) -> str:
    what = f"{task.id:>8} {task.status.value:9} {task.queue} {task.key}, attempt {task.attempts} of {task.max_attempts}"
    return f"{what}: {task.error.splitlines()[0]}" if task.error else what
