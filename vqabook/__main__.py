"""The command `vqabook`, also `python -m vqabook`: it can be stopped from its first import on."""

import sys

from vqabook import stop


def main() -> None:
    """Entry point; Ctrl-C and SIGTERM end it with one sentence, whatever they come across."""
    stop.listen()
    try:
        from vqabook import cli

        cli.main()
    except BaseException as error:  # a library that is being imported may make another error of it
        if not stop.asked():
            raise
        stop.tell(error)
        sys.exit(stop.Stopped().code)


if __name__ == "__main__":
    main()
