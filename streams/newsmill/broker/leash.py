"""A command → the same command, which cannot outlive the process that asked for it.

Run as a script: ``python leash.py PARENT_PID COMMAND…``. It is a script of its own, with the standard library only,
because `subprocess` cannot run Python between fork and exec safely in a program with threads.

On Linux the kernel holds the leash: the command is sent SIGKILL when its parent ends, by whatever signal. Elsewhere
this process stays, looks twice a second whether its parent is still there, and ends the command if not (best effort:
killing this process itself would free the command).
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(arguments: list[str]) -> int:
    """Run the command; returns only where the kernel does not hold the leash."""
    parent, command = int(arguments[0]), arguments[1:]
    try:
        if sys.platform == "linux":
            _bind_to_parent(parent)
            os.execv(command[0], command)
        return _follow(parent, command)
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror or error}\n")
        return 127


def _bind_to_parent(parent: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl: {os.strerror(number)}")
    if os.getppid() != parent:  # it ended before the kernel was told
        raise OSError(0, "the parent process has ended")


def _follow(parent: int, command: list[str]) -> int:
    child = subprocess.Popen(command)
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    while True:
        try:
            return child.wait(0.5)
        except subprocess.TimeoutExpired:
            if os.getppid() != parent:
                child.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
