"""`vqabook`, the command line; `app` puts its commands together."""

import os
import re
import sys

from vqabook.extras import told_if_missing


def main() -> None:
    """An error of the user's, the data's or the environment's is one sentence; ~ is the home folder in every word."""
    sys.argv[1:] = [expand_home(word) for word in sys.argv[1:]]
    try:
        with told_if_missing():
            from vqabook.cli.app import app

            app(standalone_mode=True)
    except (ValueError, OSError, RuntimeError, ArithmeticError) as error:
        print(f"vqabook: {error}", file=sys.stderr)
        sys.exit(1)


def expand_home(word: str) -> str:
    """`~/a`, `--runs=~/a` and `runs=~/a` as a shell spells the first."""
    name, path = re.fullmatch(r"((?:[\w-]+=)?)(.*)", word, re.DOTALL).groups()
    return name + os.path.expanduser(path)
