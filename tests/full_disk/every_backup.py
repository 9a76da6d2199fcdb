"""Backs up a database to a disk that is full, from each write on in turn.

`python -m tests.full_disk.every_backup DATABASE FOLDER`, with the folder on a small disk. Prints
one line of JSON for each backup that fails: the reason, and the files that it leaves behind.
"""

import json
import os
import sys
from pathlib import Path

from modelgates_server.core.errors import GatewayError
from modelgates_server.store.sqlite.admin import backup
from tests.full_disk.disk import Figures


def main(path: Path, folder: Path) -> None:
    figures = Figures(Path(os.environ["FULL_DISK_CONTROL"]))
    for passes in range(1000):
        figures.set(passes=passes)
        try:
            backup(path, folder / "copy.db", lambda *_: None)
        except GatewayError as error:
            left = [each.name for each in folder.iterdir()]
            print(json.dumps({"reason": str(error), "left": left}))
        else:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
