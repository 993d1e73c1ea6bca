"""All commands under one name."""

from importlib.metadata import version as version_of
from typing import Annotated

import typer

from vqabook.cli import arena, data, lists, pages
from vqabook.progress import start_log

HELP = "Train, execute and judge the book's pages; fetch and inspect data sets. A command's --help says more."

app = typer.Typer(help=HELP, no_args_is_help=True, pretty_exceptions_enable=False)
COMMANDS = (
    pages.run, pages.make, pages.execute, pages.tell, pages.freeze, pages.live, pages.ledger, pages.recheck,
    arena.arena, lists.changes, lists.keep, lists.contradictions,
)  # fmt: skip
for command in COMMANDS:
    app.command()(command)
app.add_typer(data.app, name="data")


def _show_version(asked: bool | None) -> None:
    if asked:
        print(f"vqabook {version_of('vqabook')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool | None, typer.Option("--version", callback=_show_version, is_eager=True, help="show the version and exit")
    ] = None,
) -> None:
    """What every command has."""
    start_log()
