"""The data sets as the book shows them: described from their files by whoever has them, recorded for everyone else.

A description is statistics of a set, no copy of it, so it may be tracked in book/evidence/data/ and shown in a book
that was built without the set.
"""

import importlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from html import escape
from pathlib import Path

import pandas as pd

from vqabook.catalogue import drawings
from vqabook.catalogue import vqa as vqa_description
from vqabook.catalogue.description import Description
from vqabook.data.layout import SOURCES, own_folder
from vqabook.evidence import record
from vqabook.fetch.manifest import DataSet, read_manifest
from vqabook.knobs import Checked, folder, from_page, knob
from vqabook.report import figures
from vqabook.report.plain import fold
from vqabook.report.show import show_html

FOLDER = record.EVIDENCE / "data"


@dataclass(frozen=True)
class Setting(Checked):
    """What a reader may change on the Data page."""

    profile: str  # every page has one; nothing is trained on this one
    runs: str | None = knob(None, rule=folder())  # as well
    data_root: str | None = knob(
        None, rule=folder()
    )  # default: $VQABOOK_DATA, else data/ of the project, else the user's
    recompute: tuple[str, ...] = ()  # sets to describe anew from their files


def page(namespace: Mapping) -> Setting:
    """The setting that the notebook's parameters ask for; `namespace` is its `globals()`."""
    return from_page(Setting, dict.fromkeys(("smoke", "small", "real", "paper"), {}), namespace)


def describe(name: str, root: Path) -> Description:
    """The set in numbers, read through its loader from its folder below `root`; "shapes" is the embedded world.

    `name` may be the path of a folder of questions of one's own.
    """
    manifest = read_manifest()
    if name == "shapes" or name in SOURCES or (name not in manifest and own_folder(name)):
        return vqa_description.describe(name, root)
    if name not in manifest:
        known = ", ".join(manifest)
        raise ValueError(f"data sets are {known}, or the path of a folder of questions of your own; got {name!r}")
    entry = manifest[name]
    if not entry.describe:
        raise ValueError(f"{name} is {entry.what}: it has no description of its own; ask for a set of examples")
    module, _, function = entry.describe.partition(":")
    return getattr(importlib.import_module(module), function)(root / entry.folder)


def keep(name: str, description: Description) -> Path:
    """Write a description to the tracked records of the book."""
    record.need_evidence()
    stamp = record.provenance("", datetime.now(UTC), 0.0)
    stamp = {key: stamp[key] for key in ("commit", "dirty", "started", "versions")}
    path = FOLDER / f"{name}.json"
    record.write_json(path, {"recipe": {"dataset": name}, "result": asdict(description), "provenance": stamp})
    return path


def list_facts(description: Mapping) -> dict[str, str]:
    """A description as lines of text: rows of each split, the largest and smallest class, whatever else it says."""
    lines = {"rows": ", ".join(f"{n:,} {split}" for split, n in description["rows"].items())}
    if description["classes"]:
        lines["classes"] = _tell_classes(list(description["classes"].items()), description["n_classes"])
    lines |= description["facts"]
    return {key: f"{value:,}" if isinstance(value, int | float) else str(value) for key, value in lines.items()}


def _tell_classes(counts: list[tuple[str, int]], n_classes: int) -> str:
    """How many classes there are, and the sizes of the first and, unless the list was cut, of the last."""
    (first, most), (last, least), whole = counts[0], counts[-1], len(counts) == n_classes
    if most == least:
        return f"{n_classes:,} of {most:,} each" if whole else f"{n_classes:,}, largest {most:,}"
    return f"{n_classes:,}, most frequent {first} ({most:,})" + (f", least {last} ({least:,})" if whole else "")


def show_overview(manifest: Mapping[str, DataSet]) -> None:
    """Display one row a set, folded away: what it is, its size, licence, and how it comes."""
    rows = []
    for entry in manifest.values():
        title = escape(entry.title)
        title = f'<a href="{escape(entry.homepage)}">{title}</a>' if entry.homepage else title
        row = {"set": f"{title}<br><code>{entry.name}</code>", "what": entry.what}
        row |= {"size": entry.size.replace("-> ", "<br>→ "), "licence": entry.licence}
        rows.append(row | {"comes from": ", ".join(dict.fromkeys(origin.kind for origin in entry.origins))})
    table = pd.DataFrame(rows).to_html(escape=False, index=False, border=0, classes="catalogue")
    summary = f"All {len(rows)} sets: what each is, its size, its licence, and where it comes from"
    show_html(fold(summary, f'<div class="results">{table}</div>', kind="facts"))


def show(name: str, description: Description | None = None) -> None:
    """Display a set on a page: its picture and, folded away, its facts with the day and commit of the description."""
    kept = record.read_record(FOLDER / f"{name}.json", record.load_json) if description is None else None
    if description is not None:
        shown, stamp = asdict(description), None
    elif kept is not None:
        shown, stamp = kept["result"], kept["provenance"]
    else:
        how = f"<code>vqabook data info {name} --record</code>"
        show_html(f"<p>Not described yet: {how} does, once it is there.</p>")
        return
    facts, picture = list_facts(shown), shown["picture"]
    listed = "".join(f"<div><dt>{escape(key)}</dt> <dd>{escape(value)}</dd></div>" for key, value in facts.items())
    tall, phone = {"images": (1.3, 2.2), "points": (3.4, 3.4)}.get(picture["kind"], (2.4, 2.6))
    draw = partial(drawings.draw, kind=picture["kind"], data=picture["data"])
    rows = ", ".join(f"{n:,} {split}" for split, n in shown["rows"].items())
    alt = re.split(r"[:.,] ", picture["alt"])[0]  # what is drawn; what it shows stands in the caption alone
    figures.show(draw, caption=f"{picture['alt']} Rows: {rows}.", alt=alt, size=(7.2, tall), phone=phone)
    when = f"<p><small>Described {stamp['started'][:10]} at commit {stamp['commit']}.</small></p>" if stamp else ""
    show_html(fold(f"{len(facts)} facts", f"<dl>{listed}</dl>{when}", kind="facts"))


def format_description(name: str, description: Description) -> str:
    """A description for the terminal: a line a fact, then the class histogram."""
    lines = [f"{name}"] + [f"  {key}: {value}" for key, value in list_facts(asdict(description)).items()]
    widest = max(description.classes.values(), default=1)
    for label, n in list(description.classes.items())[:20]:
        lines.append(f"  {label[:24]:>24} {n:>9,} {'#' * round(30 * n / widest)}")
    return "\n".join(lines)
