"""`outlive proof`: where an acknowledged write went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from outlive.cli.storage_options import DsnOption, KeyFile, OptionsFile, PolicyFile, Storage
from outlive.cli.terminal import Dir, Json, await_or_exit, put, put_json
from outlive.errors import ConfigurationError

if TYPE_CHECKING:
    from outlive.backup.plan.proof import Place, Proof
    from outlive.backup.proving.proof import Stand
    from outlive.cli.storage import Place as Store
    from outlive.model.durability import Receipt
    from outlive.postgres.access import Access


def proof(
    what: Annotated[str, typer.Argument(help="A receipt's text, or the id of a conversation.")],
    storage: Storage = None,
    storage_options: OptionsFile = None,
    key_file: KeyFile = None,
    dsn: DsnOption = None,
    policy: PolicyFile = None,
    directory: Dir = None,
    json: Json = False,
) -> None:
    """Tell where a write is: on which nodes, in the archive since when, in which backup, and proved by which restore.

    Of a conversation: all that is committed of it now. A receipt has to be located first (`db.locate(receipt)`).

    \b
    Examples:
      outlive proof booking-7
      outlive proof "$(cat receipt.txt)" --json
    """
    from outlive.cli.storage import access_or_exit, place_or_exit

    where = place_or_exit(storage, storage_options, key_file, directory, policy)
    at, stands, known = await_or_exit(_follow(what, where, access_or_exit(dsn, directory)))
    said = _as_json(at, stands, known)
    put_json(said) if json else put(_as_text(said))


async def _follow(what: str, where: Store, reach: Access) -> tuple[Place, tuple[Stand, ...], Proof]:
    from outlive.backup.observation import observe
    from outlive.backup.proving import proof as proving

    receipt = _receipt(what)
    at = await proving.conversation(reach, what) if receipt is None else _place(receipt)
    async with where.opened() as store:
        catalog, material = await observe(store, where.keyring)
        return at, await proving.stands(reach), await proving.proof(material, catalog, at)


def _receipt(text: str) -> Receipt | None:
    from outlive.model.durability import Receipt

    try:
        return Receipt.parse(text.strip())
    except ValueError:
        return None


def _place(receipt: Receipt) -> Place:
    from outlive.backup.plan.proof import Place

    if receipt.lsn is None:
        raise ConfigurationError(
            "the receipt doesn't say where in the WAL its commit is", hint="Ask for it: `await db.locate(receipt)`."
        )
    return Place(receipt.timeline, receipt.lsn)


def _as_json(at: Place, stands: tuple[Stand, ...], known: Proof) -> dict[str, Any]:
    proved = known.proved
    return {
        "lsn": str(at.lsn),
        "timeline": at.timeline,
        "replicated_to": [each.node for each in stands if each.timeline >= at.timeline and each.lsn >= at.lsn],
        "archived_in": known.archived_in.name if known.archived_in else None,
        "archived_at": known.archived_at,
        "covered_by": known.covered_by,
        "not_covered_because": known.uncovered,
        "proved_by": {"backup": proved.backup, "at": proved.at, "recovered_to": str(proved.lsn)} if proved else None,
    }


def _as_text(said: dict[str, Any]) -> str:
    proved = said["proved_by"]
    since = f" since {said['archived_at'].isoformat()}" if said["archived_at"] else ""
    tested = f"by the restore of {proved['backup']} on {proved['at'].isoformat()}" if proved else "not yet"
    lines = {
        "commit": f"{said['lsn']} on timeline {said['timeline']}",
        "replicated": ", ".join(said["replicated_to"]) or "no node that answers has it",
        "archived": f"in {said['archived_in']}{since}" if said["archived_in"] else "not yet",
        "backup": said["covered_by"] or f"none: {said['not_covered_because']}",
        "proved": tested,
    }
    return "\n".join(f"{name:<11} {line}" for name, line in lines.items())
