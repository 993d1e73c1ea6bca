"""`vqabook`, the command line; `app` puts its commands together."""

import io
import os
import re
import sys
import warnings

from vqabook.extras import told_if_missing


def main() -> None:
    """What is wrong with words, data or the environment is one sentence, and so is a warning; ~ is the home folder."""
    warnings.showwarning = lambda message, *_, **__: print(f"vqabook: {message}", file=sys.stderr)
    sys.argv[1:] = [expand_home(word) for word in sys.argv[1:]]
    for stream in (sys.stdout, sys.stderr):
        # a sign that the locale lacks is a "?", and ends no command
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")
    try:
        refuse_empty(sys.argv[1:])
        with told_if_missing():
            from vqabook.cli.app import app

            app(standalone_mode=True)
    except (ValueError, OSError, RuntimeError, ArithmeticError) as error:
        print(f"vqabook: {error}", file=sys.stderr)
        sys.exit(1)


def refuse_empty(words: list[str]) -> None:
    """ValueError for a word or an option's value with nothing in it: a path of none would be the current folder."""
    for before, word in zip(["vqabook", *words], words, strict=False):
        if not word.strip() or re.fullmatch(r"--[\w-]+=\s*", word):
            raise ValueError(f"words of a command are not empty, got {word!r} after {before}; is a variable unset?")


def expand_home(word: str) -> str:
    """`~/a`, `--runs=~/a` and `runs=~/a` as a shell spells the first."""
    return re.sub(r"\A([\w-]+=|)(.*)\Z", lambda m: m[1] + os.path.expanduser(m[2]), word, flags=re.DOTALL)
