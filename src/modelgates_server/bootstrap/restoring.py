"""Restores a backup: checks it, verifies its ledger, puts it in place, and sorts the spools."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import gmtime, strftime

from modelgates_server.core.errors import StoreDamaged, StoreUnavailable
from modelgates_server.service.verify import VerifyResult, verify
from modelgates_server.store.spool import FolderSpool
from modelgates_server.store.sqlite import restore
from modelgates_server.store.sqlite.reading import open_reader
from modelgates_server.store.sqlite.schema import newest_version

OnProgress = Callable[[str], None]


@dataclass(slots=True)
class Restored:
    """The outcome of a restore. `verified` is None for an older schema, which is migrated first.

    `kept` is where the database is that was there, and `set_aside` the folders with the ends of
    calls that the backup does not have (`unknown`). `spooled` ends are charged at the next start.
    """

    path: Path
    schema: int
    verified: VerifyResult | None
    kept: Path | None = None
    spooled: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    set_aside: list[Path] = field(default_factory=list)


def restore_backup(
    path: Path,
    backup: Path,
    spools: Sequence[FolderSpool],
    now_ms: int,
    on_progress: OnProgress,
) -> Restored:
    """Replaces a database by a copy of a backup. `spools` are all folders with ends of calls.

    Raises `InvalidInput` or `StoreUnavailable`; then the database is unchanged.
    """
    path = path.resolve()
    stamp = f"before-restore-{strftime('%Y%m%dT%H%M%SZ', gmtime(now_ms / 1000))}"
    kept = path.with_name(f"{path.name}.{stamp}")
    restore.check_not_in_use(path)
    schema = restore.check_backup(path, backup)

    def copied(done: int, total: int) -> None:
        on_progress(f"{done} of {total} pages copied")

    with restore.staged(path, backup, copied) as copy:
        verified = _verified(copy, backup, on_progress) if schema == newest_version() else None
        sorted_ends = [asyncio.run(_sorted(spool, copy)) for spool in spools]
        there_was_one = restore.put_in_place(path, copy, kept)
    restored = Restored(path, schema, verified, kept if there_was_one else None)
    for spool, (spooled, unknown) in zip(spools, sorted_ends, strict=True):
        restored.spooled.update(spooled)
        if unknown:
            # After the swap: a crash in between leaves ends that the server rejects, and loses
            # none.
            restored.unknown.update(unknown)
            restored.set_aside.append(spool.set_aside(unknown, stamp))
    return restored


def _verified(copy: Path, backup: Path, on_progress: OnProgress) -> VerifyResult:
    async def verify_copy() -> VerifyResult:
        with open_reader(copy) as store:
            return await verify(
                store,
                lambda accounts, entries: on_progress(
                    f"{accounts} accounts and {entries} entries verified"
                ),
            )

    result = asyncio.run(verify_copy())
    if result.findings:
        first = result.findings[0]
        where = f"account {first.account_id}" if first.account_id else "the file"
        raise StoreDamaged(
            f"{backup} fails verification: {where}, {first.invariant}, "
            f"{first.message.removesuffix('.')}. Choose another backup. Nothing was changed."
        )
    return result


async def _sorted(spool: FolderSpool, copy: Path) -> tuple[list[str], list[str]]:
    """Returns the ids of spooled ends whose hold is in the backup, and of the others.

    An end that cannot be read stays where it is: the server names its file at every start.
    """
    spooled, unknown = list[str](), list[str]()
    for generation_id in await spool.ids():
        try:
            settlement = await spool.load(generation_id)
        except StoreUnavailable:
            settlement = None
        if settlement is not None:
            account_id = settlement.generation.account_id
            known = restore.has_hold(copy, account_id, generation_id)
            (spooled if known else unknown).append(generation_id)
    return spooled, unknown
