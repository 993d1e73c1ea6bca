"""How a command ends on Ctrl-C or SIGTERM: where its work can go on later, within five seconds, with one sentence."""

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

GRACE = 4.0  # seconds after the signal in which a command ends by itself; then it is ended
AGAIN = 0.02  # seconds until a signal that was lost comes again
NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


class Stopped(SystemExit):
    """The user or the cluster asked this process to end; `also`: what is kept besides all that is finished.

    Its exit status is the shell's: 130 after Ctrl-C, 143 after SIGTERM. `except Exception` does not catch it.
    """

    def __init__(self, also: str = ""):
        super().__init__(128 + (_asked or signal.SIGINT))
        self.also = also


_asked: int | None = None  # the first signal that came
_holds = 0


def listen() -> None:
    """From here on Ctrl-C and SIGTERM raise `Stopped`; call it in the main thread of a command, not of a library."""
    atexit.register(_leave)  # first in, so last out
    sys.unraisablehook = _send_again
    for number in NAMES:
        signal.signal(number, _receive)


def asked() -> bool:
    """Whether a signal came."""
    return _asked is not None


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Inside, a signal waits for `here` or for the end of the block: what happens inside happens whole."""
    global _holds
    _holds += 1
    try:
        yield
    finally:
        _holds -= 1
    if not _holds:
        here()


def here() -> None:
    """Raise `Stopped` if a signal came."""
    if _asked is not None:
        raise Stopped


def tell(error: BaseException | None = None) -> None:
    """Say in one sentence what is kept."""
    also = f", {error.also}" if isinstance(error, Stopped) and error.also else ""
    name = NAMES[signal.Signals(_asked or signal.SIGINT)]
    line = "\n" if sys.stderr.isatty() else ""  # below a progress bar
    message = f"{line}vqabook: stopped by {name}; what is finished is kept{also}: start the same command again to go on"
    print(message, file=sys.stderr, flush=True)


@contextlib.contextmanager
def together(processes: Sequence[subprocess.Popen]) -> Iterator[None]:
    """Processes that end with the block: awaited at its end, asked to stop where it fails."""
    try:
        yield
    except BaseException:
        for process in processes:
            process.terminate()
        raise
    finally:
        for process in processes:
            process.wait()


def _receive(number: int, _: FrameType | None) -> None:
    global _asked
    if _asked is not None:
        return
    _asked = number
    watchdog = threading.Timer(GRACE, _end)
    watchdog.daemon = True
    watchdog.start()
    if not _holds:
        raise Stopped


def _send_again(lost: Any) -> None:
    """A signal that came where Python cannot raise, as in a weak reference's callback, comes again after it."""
    global _asked
    if not isinstance(lost.exc_value, Stopped):
        sys.__unraisablehook__(lost)
        return
    number, _asked = _asked, None
    again = threading.Timer(AGAIN, os.kill, (os.getpid(), number))
    again.daemon = True
    again.start()


def _end() -> None:
    tell()
    _leave()


def _leave() -> None:
    """Without taking the interpreter and its libraries apart, which is seconds."""
    if _asked is not None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(128 + _asked)
