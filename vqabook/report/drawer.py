"""What a row of the ledger hides until it is asked: each seed's difference, the records, and how to make them again."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from vqabook.report.claims import CONDITIONS
from vqabook.report.plain import fold, name_set, sign

WIDTH, HEIGHT, MARGIN = 320, 22, 8  # of a picture, in its own units


def render_drawer(row: Mapping) -> str:
    """A `<details>`: what is printed, then for each data set with numbers its seeds, records and commands."""
    sets = list(_list_sets(row))
    scale = _span(row["printed"], [numbers for *_, numbers in sets])
    name = f"The claim's name is <code>{escape(row['name'])}</code>."
    facts = [name, _tell_printed(row), _tell_needs(row["needs"]), _tell_same(row)]
    parts = [_render_set(row, *one, scale) for one in sets]
    link = f'<a href="#{row["address"]}">Address of this row</a>'
    body = f"<p>{' '.join(filter(None, facts))} {link}.</p>{''.join(parts)}"
    return fold(f'details<span class="of"> of {escape(row["claim"])}</span>', body)


def _list_sets(row: Mapping) -> Iterator[tuple[str, str, Mapping]]:
    """Every data set that has numbers: its kind, the profile that asks for it, the numbers."""
    for kind, profile, numbers in (("embedded world", "small", row["embedded"]), ("real data", "real", row["real"])):
        if numbers:
            yield kind, profile, numbers
    for numbers in row["further"]:
        asked = "paper" if numbers["profile"] == "paper" else f"real -p dataset {shlex.quote(numbers['data'])}"
        yield "real data", asked, numbers


def _render_set(row: Mapping, kind: str, profile: str, numbers: Mapping, scale: tuple[float, float]) -> str:
    seeds = numbers["differences"]
    told = "; ".join(f"seed {seed}: {sign(value)}" for seed, value in seeds.items())
    could, why = numbers["detectable"], numbers["why"]
    seen = f" The data could have shown an effect of {could:.2f}." if could is not None else ""
    if numbers["shared"]:
        seen += " Seeds divide the same rows anew; the interval allows for those that they share."
    unmet = f" Conditions not met: {escape(why)}." if why else ""
    return (
        f'<p class="set"><b>{kind}: {escape(name_set(numbers["data"]))}</b></p>'
        f"{draw_seeds(seeds, numbers, row['printed'], scale, kind.split()[0])}"
        f"<p>{told} ({escape(row['unit'])}).{seen}{unmet}</p>"
        f"<p>Records: {_list_records(numbers['records'])}.</p>"
        f"<pre>{escape(tell_commands(row['page'], profile, [*map(str, seeds)]))}</pre>"
    )


def draw_seeds(
    seeds: Mapping[int, float], numbers: Mapping, printed: Mapping | None, scale: tuple[float, float], kind: str
) -> str:
    """A line of differences as SVG: a dot a seed, the 95 % interval, a diamond where the paper prints, a rule at 0."""

    def at(value: float) -> float:
        low, high = scale
        return round(MARGIN + (WIDTH - 2 * MARGIN) * (value - low) / (high - low), 1)

    middle = HEIGHT // 2
    parts = [f'<path class="zero" d="M{at(0)} 0V{HEIGHT}"/>']
    if numbers["low"] is not None:
        parts.append(f'<path class="interval" d="M{at(numbers["low"])} {middle}H{at(numbers["high"])}"/>')
    # A stroke of no length with round ends is a dot.
    parts.append(f'<path class="dots" d="{"".join(f"M{at(value)} {middle}h0" for value in seeds.values())}"/>')
    if printed:
        parts.append(f'<path class="printed" d="M{at(printed["value"])} {middle - 5}l5 5-5 5-5-5z"/>')
    name = f"Differences of {len(seeds)} seeds, from {sign(scale[0])} to {sign(scale[1])}; told below"
    box = f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{name}"'
    return f'<svg class="seeds {kind}" {box}>{"".join(parts)}</svg>'


def tell_commands(page: str, profile: str, seeds: Sequence[str]) -> str:
    """Two commands that make a claim's runs again, in a folder of their own: with its page, and without."""
    listed, paper = shlex.quote(f"[{', '.join(seeds)}]"), page.partition("_")[2]
    options = f"-p profile {profile} -p seeds {listed} -p runs again"
    alone = options.replace("-p profile", "--profile").replace("-p runs", "--runs")
    alone = re.sub(r"-p (\w+) ", r"-s \1=", alone)
    return f"papermill notebooks/{page}.ipynb out.ipynb {options}\nvqabook run {paper} {alone}"


def _span(printed: Mapping | None, measured: Sequence[Mapping]) -> tuple[float, float]:
    """The least and the most of what a row's pictures show, 0 included: all its data sets share one scale."""
    values = [0.0, *([printed["value"]] if printed else [])]
    for numbers in measured:
        values += numbers["differences"].values()
        values += [numbers[end] for end in ("low", "high") if numbers[end] is not None]
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 1, high + 1)


def _list_records(names: Sequence[str]) -> str:
    """Names of files in book/evidence/, those that differ in seed and hash alone together: `stem-` 0-abc, 1-def."""
    stems: dict[str, list[str]] = {}
    for name in names:
        stem, seed, digest = name.rsplit("-", 2)
        stems.setdefault(stem, []).append(f"{seed}-{digest}")
    return "; ".join(f"<code>{escape(stem)}-</code> {', '.join(ends)}" for stem, ends in stems.items())


def _tell_printed(row: Mapping) -> str:
    printed = row["printed"]
    if not printed:
        return f"{escape(row['where'])}: no difference is printed."
    unit, where, data = (escape(text) for text in (row["unit"], row["where"], printed["data"]))
    return f"Printed: {sign(printed['value'])} {unit} ({where}; {data})."


def _tell_needs(needs: Sequence[str]) -> str:
    """What the claim needs, with what that is."""
    return " ".join(f"It needs {escape(need)}: {escape(CONDITIONS[need])}." for need in needs)


def _tell_same(row: Mapping) -> str:
    same = row["same_as"]
    return f"It compares the same records as <code>{escape(same)}</code>, which is counted." if same else ""
