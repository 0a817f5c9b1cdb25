"""A chosen folder, or none → a data folder that this broker alone uses: locked, and temporary if none was chosen."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import IO

from newsmill.errors import BrokerError

__all__ = ["last_words", "take_folder"]

_TEMPORARY = "newsmill-kafka-"
_TAIL_BYTES = 256 * 1024  # Kafka writes some 100 KiB while it starts and ends
_TELLING = re.compile(r" (?:ERROR|FATAL) |^Caused by: ")
_STALE_AFTER = 60.0  # seconds: a younger folder may be about to be locked


def take_folder(chosen: Path | None) -> tuple[Path, IO[str]]:
    """The folder, made where it is missing, and the open file that keeps it locked (by inheritance, also in Java).

    `BrokerError` if it is in use or cannot be one.
    """
    if chosen is None:
        _clear_stale_folders()
        folder = Path(tempfile.mkdtemp(prefix=_TEMPORARY))
        (folder / "temporary").touch()
    else:
        folder = chosen.absolute()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BrokerError(f"the data folder {folder} cannot be made: {error.strerror}") from error
    return folder, _lock_folder(folder)


def last_words(path: Path, count: int = 8) -> str:
    """The last lines of a log that tell of an error, else simply its last lines; empty where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return ""
    telling = [line for line in lines if _TELLING.search(line)]
    return "\n".join((telling or lines)[-count:])


def _lock_folder(folder: Path, patience: float = 5.0) -> IO[str]:
    """Lock the data folder; the lock is inherited by Java. Waits for a broker that is just ending."""
    try:
        file = (folder / "in-use").open("a+")
    except OSError as error:
        raise BrokerError(f"the data folder {folder} cannot be written: {error.strerror}") from error
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                file.seek(0)
                owner = file.read().strip() or "unknown"
                file.close()
                raise BrokerError(
                    f"the data folder {folder} is in use by another broker (process {owner}): "
                    "stop that, or choose another with --data-dir"
                ) from None
            time.sleep(0.1)
        except OSError as error:
            file.close()
            raise BrokerError(f"the data folder {folder} cannot be locked: {error.strerror}") from error
        else:
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            return file


def _clear_stale_folders() -> None:
    """Delete temporary data folders of brokers that were killed: marked as temporary, locked by nobody."""
    for mark in Path(tempfile.gettempdir()).glob(f"{_TEMPORARY}*/temporary"):
        try:
            with (mark.parent / "in-use").open() as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if time.time() - os.fstat(file.fileno()).st_mtime > _STALE_AFTER:
                    shutil.rmtree(mark.parent)
        except OSError:  # in use, another user's, or just deleted by another process: not ours to clear
            continue
