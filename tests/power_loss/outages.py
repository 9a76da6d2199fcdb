"""Records the ledger at work, cuts the power at points of the recording, and opens the rest."""

import random
from pathlib import Path

from modelgates_server.service.verify import verify
from modelgates_server.store.sqlite.opening import open_store
from modelgates_server.store.sqlite.writer import BatchLimits
from tests.crash.acknowledged import Acknowledged, contents
from tests.crash.workload import work
from tests.power_loss.disk import Disk
from tests.power_loss.recorder import Acknowledgment, Event, Recorder

_FILE = "modelgates.db"
_STEPS = 8
_LIMITS = BatchLimits(log_max_bytes=20 * 4120)  # 20 pages, for frequent checkpoints


class Loss:
    """The outcome of outages: how many lost a change, how many changes were lost, and problems."""

    def __init__(self) -> None:
        self.outages = 0
        self.losing = 0
        self.lost = 0
        self.problems: list[str] = []


async def record(folder: Path, seed: int, **settings: str) -> list[Event]:
    """Records two runs on one file. The first ends cleanly, with everything in the main file."""
    recorder = Recorder(f"recorder-{seed}", settings)
    for run in (1, 2):
        store = open_store(folder / _FILE, connect=recorder.connect, limits=_LIMITS)
        await work(store, 2 * seed + run, recorder.acknowledge, _STEPS)
        log = list(recorder.log)
        await store.close()
    recorder.unregister()
    return log


async def cut(log: list[Event], folder: Path, dice: random.Random, outages: int) -> Loss:
    """Cuts the power at random points of the log; the store must open what each outage leaves."""
    loss, disk, acknowledged = Loss(), Disk(), list[Acknowledged]()
    points = set(dice.sample(range(len(log)), outages))
    for point, event in enumerate(log):
        if isinstance(event, Acknowledgment):
            acknowledged.append(event.change)
        else:
            disk.record(event)
        if point in points:
            _write_files(folder, disk.after_power_loss(dice))
            await _check(folder / _FILE, acknowledged, loss)
    return loss


def _write_files(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)


async def _check(path: Path, acknowledged: list[Acknowledged], loss: Loss) -> None:
    store = open_store(path)
    lost = (await contents(store)).lost(acknowledged)
    loss.outages += 1
    loss.losing += bool(lost)
    loss.lost += len(lost)
    loss.problems += map(str, (await verify(store)).findings)
    await store.close()
