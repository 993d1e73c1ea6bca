"""`vqabook`, the command line; `app` puts its commands together."""

import sys

from vqabook.extras import told_if_missing


def main() -> None:
    """Entry point: an error of the user's, the data's or the environment's is one sentence, not a traceback."""
    try:
        with told_if_missing():
            from vqabook.cli.app import app

            app(standalone_mode=True)
    except (ValueError, OSError, RuntimeError, ArithmeticError) as error:
        print(f"vqabook: {error}", file=sys.stderr)
        sys.exit(1)
