"""Single keys from a terminal, without Enter; nothing where there is no terminal."""

import os
import select
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager


class Keyboard:
    """`pressed` answers the keys since the last call."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    @property
    def present(self) -> bool:
        """Whether there is anybody to press."""
        return self._descriptor is not None

    def pressed(self) -> str:
        """Keys that wait, in order; never blocks."""
        keys = ""
        while self._descriptor is not None and select.select([self._descriptor], [], [], 0.0)[0]:
            # Not sys.stdin: its buffer would keep keys that select cannot see.
            typed = os.read(self._descriptor, 64).decode(errors="ignore")
            if not typed:
                self._descriptor = None
            keys += typed.lower()
        return keys


@contextmanager
def keyboard() -> Iterator[Keyboard]:
    """The terminal's keys as they are pressed; Ctrl-C works as ever. The terminal is as before afterwards."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        yield Keyboard(None)
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield Keyboard(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
