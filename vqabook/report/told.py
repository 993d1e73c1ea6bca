"""Text bound to records: Markdown names a claim, the book shows its numbers; a sentence says which verdict it needs.

    Accuracy rises by {told}`soft-ce-table-1-avg-overall embedded`.
    {needs}`soft-ce-table-1-avg-overall embedded: holds`

The first becomes "+1.4 points [0.6, 2.2], n = 5, holds"; the second is not seen, and fails the build once it is untrue.
`ROOMS` are where a claim was measured, `FORMS` what is told of it. A name without words of these is a value that the
page measured (`Page.measure`). Code in backticks, fenced or not, stays as it is; a fence of tildes is filled.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from html import escape
from typing import NamedTuple

import numpy as np

from vqabook.report.claims import Claim
from vqabook.report.ledger import badge
from vqabook.report.plain import clear, sign
from vqabook.report.verdicts import KINDS, BySeed, Verdict, of_side, verdict_on

Records = Sequence[Mapping]
ROOMS = ("real", "embedded")  # and the name of any data set that has recorded runs
FORMS = {
    "whole": "+1.4 points [0.6, 2.2], n = 5, holds",
    "number": "+1.4 points",
    "size": "1.4 points, without its sign",
    "interval": "[0.6, 2.2]",
    "effect": "+1.4 points [0.6, 2.2]",
    "seeds": "n = 5",
    "verdict": "holds",
    "seen": "0.8 points: half the interval, the smallest difference that these seeds could have seen",
    "why": "which condition is not met",
    "more": "48.1 ± 0.3 (n = 5): the mean of the claim's larger side, and the seeds' standard deviation",
    "less": "the same of its smaller side",
    "printed": "+1.2 points: the paper's own difference",
    "printed more": "48.0: the paper's own larger side",
    "printed less": "46.8: its smaller side",
}
MEASURED = "application/vnd.vqabook.measured+json"  # an output that holds a value for the text; no reader displays it
UNITS = {"loss": "", "correlation": "", "gradient norm": "", "x 100": "(× 100)", "kappa x 100": "(κ × 100)"}
OF_ONE = ("loss", "correlation", "nats")  # units in which 1 is much: told with two decimals at least
_ROLE = re.compile(
    r"(?P<code>```.*?```|``.*?``)|(?<!`)\{(?P<role>told|needs)\}`(?P<asked>[^`]*[^`\s][^`]*)`", re.DOTALL
)


class Need(NamedTuple):
    """A sentence's condition that records do not meet."""

    claim: str
    room: str
    needed: str
    found: str
    where: str  # the page, and the cell or line

    def __str__(self) -> str:
        return (
            f"{self.where}: a sentence needs {self.claim} ({self.room}) to be {self.needed!r}, records say "
            f"{self.found!r}; write the sentence anew and name the verdict that it needs now"
        )


@dataclass(frozen=True)
class Teller:
    """What text may tell. `read`: (claim, room) -> its records there, ValueError for a room that is none."""

    claims: Mapping[str, Claim]
    read: Callable[[Claim, str], Records]
    values: Mapping[str, str] = field(default_factory=dict)  # what the package says and the page measured, by name

    def fill(self, text: str, where: str) -> tuple[str, list[Need]]:
        """The text with numbers for names, and the needs that are unmet. `where`: page and cell, for errors.

        Raises ValueError for an unknown name or word.
        """
        unmet: list[Need] = []

        def fill_in(match: re.Match) -> str:
            if match["code"]:
                return match[0]
            try:
                if match["role"] == "told":
                    return self.tell(match["asked"])
                unmet.extend(self._check(match["asked"], where))
            except ValueError as error:
                raise ValueError(f"{where}: {match[0]}: {error}") from None
            return ""

        return _ROLE.sub(fill_in, text), unmet

    def tell(self, asked: str) -> str:
        """What a {told} becomes: `claim [room] [form]`, or the name of a value that the page measured."""
        name, *words = asked.split()
        if name in self.values and not words:
            return self.values[name]
        claim, (room, form) = self._claim(name), _sort(words)
        if form.startswith("printed"):
            return _tell_printed(claim, form)
        records = self.read(claim, room)
        if form in ("more", "less"):
            return _tell_level(of_side(records, getattr(claim, form)))
        return _tell_verdict(verdict_on(claim, records), claim, form)

    def _check(self, asked: str, where: str) -> list[Need]:
        """The need that a {needs} states, if it is unmet: `claim [room]: verdict [or verdict ...]`."""
        head, colon, listed = asked.partition(":")
        name, *words = head.split()
        room, form = _sort(words)
        negated = listed.strip().startswith("not ") and listed.strip() not in KINDS
        kinds = [kind.strip() for kind in listed.strip().removeprefix("not " * negated).split(" or ")]
        if not colon or form != "whole" or not set(kinds) <= set(KINDS):
            raise ValueError(
                f"a need is `claim [room]: verdict [or verdict]`, or `: not verdict`; verdicts are {', '.join(KINDS)}"
            )
        claim = self._claim(name)
        found = verdict_on(claim, self.read(claim, room)).kind
        return [] if (found in kinds) != negated else [Need(name, room, listed.strip(), found, where)]

    def _claim(self, name: str) -> Claim:
        if name not in self.claims:
            near = get_close_matches(name, [*self.claims, *self.values], n=3)
            hint = f"; near it are {', '.join(near)}" if near else ""
            raise ValueError(f"{name!r} is neither a claim nor a value that the page measured{hint}")
        return self.claims[name]


def says_something(text: str) -> bool:
    """Whether a text, of a page or a notebook, has anything to fill in or to take out."""
    return any(sign in text for sign in ("{told}", "{needs}", MEASURED))


def fill_text(text: str, teller: Teller, where: str) -> tuple[str, list[Need]]:
    """A Markdown page with numbers for names, and the needs of its sentences that are unmet."""
    return teller.fill(text, where)


def fill_notebook(text: str, teller: Teller, where: str) -> tuple[str, list[Need]]:
    """An executed notebook whose Markdown cells have numbers for names, and the needs that are unmet.

    Values that its cells left for the text are taken out of their outputs; a Markdown cell of needs alone goes.
    """
    notebook = json.loads(text)
    values: dict[str, str] = {}
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            values |= output.get("data", {}).get(MEASURED, {})
        if "outputs" in cell:
            cell["outputs"] = [output for output in cell["outputs"] if MEASURED not in output.get("data", {})]
    teller, shown = replace(teller, values={**teller.values, **values}), []
    unmet: list[Need] = []
    for i, cell in enumerate(notebook["cells"], start=1):
        if cell["cell_type"] == "markdown":
            source = "".join(cell["source"])
            first = source.strip().partition("\n")[0][:60]
            source, more = teller.fill(source, f"{where}, cell {i} ({first})")
            cell["source"], unmet = source.splitlines(keepends=True), unmet + more
        if cell["cell_type"] != "markdown" or source.strip():
            shown.append(cell)
    notebook["cells"] = shown
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", unmet


def leave(name: str, text: str) -> None:
    """Leave a value for the text of the notebook that runs this."""
    from IPython.display import display

    display({MEASURED: {name: text}}, raw=True)


def _sort(words: Sequence[str]) -> tuple[str, str]:
    """The room and the form that words name: what is no word of a form is a room."""
    of_forms = {word for form in FORMS for word in form.split()}
    rooms, form = [word for word in words if word not in of_forms], " ".join(w for w in words if w in of_forms)
    if len(rooms) > 1 or form not in ("", *FORMS):
        raise ValueError(
            f"after the claim come a room ({', '.join(ROOMS)}, or a data set) and a form ({', '.join(FORMS)}), one "
            f"of each at most; got {' '.join(words)}"
        )
    return (rooms or ["real"])[0], form or "whole"


def _tell_printed(claim: Claim, form: str) -> str:
    side = {"printed more": claim.more, "printed less": claim.less}.get(form)
    value = side.in_print if side else claim.printed
    if value is None:
        raise ValueError("the paper prints no number for it")
    return f"{value:.1f}" if side else f"{_signed(value, 1)}{_unit(claim)}"


def _tell_level(seeds: BySeed) -> str:
    values = list(seeds.values())
    if not values:
        return badge("not run")
    mean, std = float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    digits = _digits(mean, std)
    spread = f"\u00a0±\u00a0{std:.{digits}f}" if len(values) > 1 else ""
    return f"{clear(mean, digits)}{spread} (n\u00a0=\u00a0{len(values)})"


def _tell_verdict(verdict: Verdict, claim: Claim, form: str) -> str:
    """One form of a verdict; what has no number yet is told as its verdict."""
    label = badge(verdict.kind)
    if form == "verdict" or verdict.mean is None:
        return label
    ends = verdict.interval or ()
    half = verdict.detectable or 0.0
    digits = _digits(*(ends or [verdict.mean]), half, least=2 if claim.unit in OF_ONE else 1)
    parts = {
        "number": f"{_signed(verdict.mean, digits)}{_unit(claim)}",
        "size": f"{abs(verdict.mean):.{digits}f}{_unit(claim)}",
        "seeds": f"n\u00a0=\u00a0{verdict.n}",
    }
    if ends:
        parts["interval"] = "[{},\u00a0{}]".format(*(clear(end, digits) for end in ends))
        parts["seen"] = f"{half:.{digits}f}{_unit(claim)}"
    if form == "why":
        return escape(verdict.why) or "all conditions are met"
    parts["effect"] = " ".join(parts[part] for part in ("number", "interval") if part in parts)
    parts["whole"] = f"{parts['effect']}, {parts['seeds']}, {label}"
    return parts.get(form, label)


def _digits(*numbers: float, least: int = 1) -> int:
    """Decimals, from the `least` to three, with which none of these numbers looks like zero."""
    return next((d for d in range(least, 3) if all(x == 0 or round(abs(x), d) for x in numbers)), 3)


def _signed(value: float, digits: int) -> str:
    return sign(value, digits)


def _unit(claim: Claim) -> str:
    unit = UNITS.get(claim.unit, claim.unit)  # of a loss or a correlation the sentence says what it is
    return f"\u00a0{escape(unit)}" if unit else ""
