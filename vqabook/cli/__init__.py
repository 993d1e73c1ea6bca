"""`vqabook`: train, execute and judge the book's pages; fetch and inspect data sets. A command's --help says more."""

import sys

import typer

from vqabook.cli import data, pages

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
for command in (pages.run, pages.make, pages.execute, pages.freeze, pages.live, pages.ledger, pages.recheck):
    app.command()(command)
app.add_typer(data.app, name="data")


def main() -> None:
    """Entry point: an error of the user's or the data's is one sentence, not a traceback."""
    try:
        app(standalone_mode=True)
    except (ValueError, OSError, RuntimeError, ArithmeticError) as error:
        print(f"vqabook: {error}", file=sys.stderr)
        sys.exit(1)
