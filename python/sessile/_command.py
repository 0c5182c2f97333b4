"""The command ``sessile``, which lies in the extension module."""

import os
import signal
import sys


def main() -> None:
    """Runs the command as the arguments of this process say, and ends the process."""
    from ._native import command

    # The program listens for itself; Python would raise KeyboardInterrupt beside it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    code = command(["sessile", *sys.argv[1:]])
    # Threads that still wait for a disk or a network end here.
    os._exit(code)
