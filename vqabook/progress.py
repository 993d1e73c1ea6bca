"""What long work tells: a bar where someone watches it, and lines in the log `vqabook` for who reads them later."""

import logging
import os
import sys
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # without ipywidgets a notebook has a bar of text
    from tqdm.auto import tqdm

LOG = logging.getLogger("vqabook")
LEVELS = ("debug", "info", "warning", "error")


class Bar(tqdm):
    """tqdm's bar, on a terminal and in a notebook; none where output goes to a file, nor with TQDM_DISABLE=1."""

    def __init__(self, *args: object, **options: object):
        own: dict[str, object] = {"disable": True if os.environ.get("TQDM_DISABLE", "0") not in ("", "0") else None}
        if own["disable"] is None and in_notebook():  # which is no terminal; inner bars go when they are done
            own |= {"disable": False, "leave": None, "mininterval": 1.0, "file": sys.stdout}
        super().__init__(*args, **own | options)


def in_notebook() -> bool:
    """Whether this is a kernel of Jupyter's."""
    shell = sys.modules.get("IPython")
    return shell is not None and "IPKernelApp" in getattr(shell.get_ipython(), "config", ())


class Lines(logging.Handler):
    """Lines on stderr, above the bars."""

    def emit(self, record: logging.LogRecord) -> None:
        Bar.write(self.format(record), file=sys.stderr)


def start_log(level: str | None = None) -> None:
    """Show the log `vqabook` from `level` on, unless given, from $VQABOOK_LOG on; without both it stays silent.

    A program that has set up `logging` gets the lines in its own handlers. Raises ValueError for an unknown level.
    """
    level = (level or os.environ.get("VQABOOK_LOG", "")).lower()
    if not level:
        return
    if level not in LEVELS:
        raise ValueError(f"VQABOOK_LOG is one of {', '.join(LEVELS)}; got {level!r}")
    LOG.setLevel(level.upper())
    if not LOG.hasHandlers():
        lines = Lines()
        lines.setFormatter(logging.Formatter("%(asctime)s %(process)d %(message)s"))
        LOG.addHandler(lines)


def tell(message: str, *values: object) -> None:
    """A line in the log `vqabook`, level info: an epoch, a record."""
    if LOG.level == logging.NOTSET:
        start_log()
    LOG.info(message, *values)
