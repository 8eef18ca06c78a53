"""What root wrote into a user's checkout goes back to that user, so that the next build, pull or removal needs no root.

    python3 -m mlnet_eval.ownership
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Callable, List

CHECKOUT = Path(__file__).resolve().parents[2]


def give_back(folder: Path = CHECKOUT) -> int:
    """Gives everything of root's below a folder to the folder's owner; returns how many entries changed hands.

    Files of others, such as those of the database's user, stay theirs. Does nothing in a folder of root's, or without root.
    """
    owner = folder.stat()
    if owner.st_uid == 0 or os.geteuid() != 0:
        return 0
    count = 0
    # Relative to open directories, never through a link: the owner may move things about while this runs. A file with a second name may be one of root's elsewhere.
    for _, folders, files, descriptor in os.fwalk(folder, follow_symlinks=False):
        for name, is_file in [*((f, False) for f in folders), *((f, True) for f in files)]:
            try:
                entry = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                if entry.st_uid == 0 and not (is_file and entry.st_nlink > 1):
                    os.chown(name, owner.st_uid, owner.st_gid, dir_fd=descriptor, follow_symlinks=False)
                    count += 1
            except OSError:
                pass  # gone meanwhile, or on a file system on which root has no say: what a run found out matters more
    return count


def handing_back(main: Callable[[List[str]], int]) -> int:
    """Runs a command, and gives back what it wrote, however it ends."""
    try:
        return main(sys.argv[1:])
    finally:
        give_back()


if __name__ == "__main__":
    give_back()
