"""`vqabook data`: the papers' data sets, listed, fetched, verified and described."""

import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from vqabook.cli import features
from vqabook.fetch import manifest
from vqabook.files import data_root as root_of

app = typer.Typer(help=__doc__, no_args_is_help=True)
for command in (features.features, features.convert):
    app.command()(command)

Names = Annotated[
    list[str],
    typer.Argument(
        help="data sets, by the names that `vqabook data list` shows",
        autocompletion=lambda: list(manifest.read_manifest()),
    ),
]
DataRoot = Annotated[
    Path | None,
    typer.Option(help="folder of the data sets; default: $VQABOOK_DATA, else the project's data/, else the user's"),
]
COLUMNS = ("name", "state", "download", "on disk", "comes by", "licence", "papers", "what")


@app.command("list")
def list_(
    data_root: DataRoot = None,
    as_json: Annotated[bool, typer.Option("--json", help="the whole manifest with states, for machines")] = False,
):
    """Show every data set: size, licence, state here, how it comes, and which papers use it.

    States: absent; partial (some files, or a fetch under way); present (right sizes, never verified here); verified;
    altered. `vqabook data verify` reads every byte.
    """
    from vqabook.fetch.holdings import state

    root, sets = root_of(data_root), manifest.read_manifest()
    states = {name: state(entry, root) for name, entry in sets.items()}
    if as_json:
        known = [{**dataclasses.asdict(entry), "state": states[name]} for name, entry in sets.items()]
        print(json.dumps({"data_root": str(root), "sets": known}, indent=1))
        return
    rows = [COLUMNS]
    for name, entry in sets.items():
        kinds = ", ".join(dict.fromkeys(origin.kind for origin in entry.origins))
        sizes = (manifest.human(entry.download), manifest.human(entry.bytes))
        rows.append((name, states[name], *sizes, kinds, entry.licence, ", ".join(entry.papers), entry.what))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print()
    for entry in sets.values():
        if entry.note:
            print(f"{entry.name}: {entry.note}")
    print(f"data root: {root}")


@app.command()
def fetch(
    names: Names,
    data_root: DataRoot = None,
    check: Annotated[bool, typer.Option(help="read what is there already and compare its hashes")] = False,
    keep: Annotated[bool, typer.Option(help="keep the downloaded archives in .fetch/ of the data root")] = False,
):
    """Bring NAMES below the data root, verified, from the first of their sources that gives them; resumes after Ctrl-C.

    A set that cannot be downloaded says how to obtain it.
    """
    from vqabook.fetch.fetch import fetch as bring

    root, sets = root_of(data_root), manifest.read_manifest()
    for name in names:
        manifest.pick(name, sets)  # a misspelt third name is told before the first download
    failed = []
    for name in names:
        try:
            _report(bring(name, root, manifest=sets, keep_archives=keep, check=check), root / sets[name].folder)
        except RuntimeError as error:
            failed.append(str(error))
    if failed:
        raise RuntimeError("\n".join(failed))


@app.command()
def verify(names: Names, data_root: DataRoot = None):
    """Read every file of NAMES and compare it with its published hash, or with what the first fetch brought.

    Prints one line a problem, and exits with 1 if there is one. Changes nothing.
    """
    from vqabook.fetch import holdings

    root, sets = root_of(data_root), manifest.read_manifest()
    bad = False
    for name in names:
        entry = manifest.pick(name, sets)
        pins = holdings.pins_of(entry, root)
        faults, _ = holdings.measure(entry, root / entry.folder, pins)
        for fault in faults:
            print(f"{name}: {fault}")
        if not faults:
            pinned = "the first fetch's hash"
            files = [file for file in entry.files if not file.is_folder]
            known = ("published hash" if f.sha256 else pinned if f.path in pins else "structure alone" for f in files)
            counts = (f"{n} {'file' if n == 1 else 'files'} by {whose}" for whose, n in Counter(known).most_common())
            print(f"{name}: verified, {', '.join(counts)}")
        bad |= bool(faults)
    if bad:
        raise typer.Exit(1)


@app.command()
def info(
    names: Annotated[list[str], typer.Argument(help="data sets by name, or folders of questions of your own by path")],
    data_root: DataRoot = None,
    as_json: Annotated[bool, typer.Option("--json", help="for machines")] = False,
    keep: Annotated[bool, typer.Option("--record", help="write it to book/evidence/data/, for the Data page")] = False,
):
    """Describe NAMES from their files: rows, classes, vocabulary, question types, and the counts of the classes."""
    from vqabook.catalogue import page as catalogue

    if keep and (strangers := set(names) - {"shapes", *manifest.read_manifest()}):
        raise ValueError(f"the Data page shows sets of the manifest, not {', '.join(strangers)}; leave out --record")
    descriptions = {}
    for name in names:
        description = catalogue.describe(name, root_of(data_root))
        descriptions[name] = dataclasses.asdict(description)
        if not as_json:
            print(catalogue.format_description(name, description))
        if keep:
            catalogue.keep(name, description)
    if as_json:
        print(json.dumps(descriptions, indent=1))


def _report(fetched, folder: Path) -> None:
    """What a fetch did, in a few lines."""
    if fetched.origin == "already there":
        print(f"{fetched.name}: already there, {folder}")
    else:
        brought = f"{manifest.human(fetched.bytes)} in {fetched.seconds:.0f} s"
        print(f"{fetched.name}: fetched from {fetched.origin}, {brought}, {folder}")
    if fetched.pinned:
        print(f"{fetched.name}: no published checksum for {', '.join(fetched.pinned)}; pinned")
    for path in fetched.aside:
        print(f"{fetched.name}: a different file was in the way; it is kept as {path}")
