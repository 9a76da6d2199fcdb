"""Records the ledger at work, cuts the power at points of the recording, opens what is left."""

import random
from pathlib import Path

from modelgates_server.service.verify import verify
from modelgates_server.store.sqlite.store import open_store
from modelgates_server.store.sqlite.writer import BatchLimits
from tests.crash.acknowledged import Acknowledged, contents
from tests.crash.workload import work
from tests.power_loss.disk import Disk
from tests.power_loss.recorder import Answer, Event, Recorder

_FILE = "modelgates.db"
_STEPS = 8
_LIMITS = BatchLimits(log_max_bytes=20 * 4120)  # 20 pages: checkpoints must come, to be cut


class Loss:
    """What some outages came to: how many lost something, and all that was lost or wrong."""

    def __init__(self) -> None:
        self.outages = 0
        self.losing = 0
        self.lost = 0
        self.problems: list[str] = []


async def record(folder: Path, seed: int, **settings: str) -> list[Event]:
    """Two runs on one file: the first ends properly, with all in the main file and no WAL left."""
    recorder = Recorder(f"recorder-{seed}", settings)
    for run in (1, 2):
        store = open_store(folder / _FILE, connect=recorder.connect, limits=_LIMITS)
        await work(store, 2 * seed + run, recorder.answer, _STEPS)
        log = list(recorder.log)
        await store.close()
    recorder.unregister()
    return log


async def cut(log: list[Event], folder: Path, dice: random.Random, outages: int) -> Loss:
    """So many outages at points of the log; each must leave what the plain store can open."""
    loss, disk, told = Loss(), Disk(), list[Acknowledged]()
    points = set(dice.sample(range(len(log)), outages))
    for point, event in enumerate(log):
        if isinstance(event, Answer):
            told.append(event.told)
        else:
            disk.happen(event)
        if point in points:
            _leave(folder, disk.after_power_loss(dice))
            await _look(folder / _FILE, told, loss)
    return loss


def _leave(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)


async def _look(path: Path, told: list[Acknowledged], loss: Loss) -> None:
    store = open_store(path)
    lost = (await contents(store)).lost(told)
    loss.outages += 1
    loss.losing += bool(lost)
    loss.lost += len(lost)
    loss.problems += map(str, (await verify(store)).findings)
    await store.close()
