"""Ctrl-C, SIGTERM and SIGHUP end a run alike: what it started is taken down, and nothing cuts that short."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from types import FrameType
from typing import Iterator, Optional

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """Somebody asked the run to end; no handler of faults takes it for one."""


def raise_when_told() -> None:
    """From now on the signals raise :class:`Stopped` in the main thread."""
    def stop(number: int, _: Optional[FrameType]) -> None:
        raise Stopped(signal.Signals(number).name)

    for number in _SIGNALS:
        signal.signal(number, stop)


@contextmanager
def put_off() -> Iterator[None]:
    """The signals do nothing meanwhile: a second Ctrl-C must not cut a clean-up short."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
