"""Who owns which questions, and what members say, as runs' records have it: for the page."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from vqabook.metrics.owners import find_specialities

Runs = Sequence[Mapping]  # records of runs that differ by their seed alone
Owned = tuple[list[str], Float[np.ndarray, "q m"]]
OWNERS = {  # what a record has on owners -> when a member owns a question
    "by_task": "its loss on it is the lowest",
    "specialised": "it would be the one to learn it",  # where members are distilled, that counts their divergence too
}


def choose_owners(runs: Runs) -> str:
    """Of OWNERS the one definition for all rules, where all of these records have it; else as training assigns."""
    return next(name for name in OWNERS if name == "specialised" or all(name in run["result"] for run in runs))


def read_owned(runs: Runs, owners: str = "specialised") -> Owned | None:
    """Names of the families, and the share (%) of each one's questions that each member owns, as OWNERS have it.

    Of the run with the lowest seed; None without a run.
    """
    if not runs:
        return None
    owned = _first(runs)[owners]
    counts = np.array(owned["owned"], dtype=float)
    return owned["families"], 100 * counts / counts.sum(1, keepdims=True)


def sort_by_owner(shares: Float[np.ndarray, "q m"]) -> list[int]:
    """An order of families in which those with the same main owner stand together, the most owned ones first."""
    return sorted(range(len(shares)), key=lambda i: (int(shares[i].argmax()), -float(shares[i].max())))


def list_owned_questions(run: Mapping, owners: str = "specialised") -> dict[str, tuple[str, list[str]]]:
    """Table 3: members' specialities, and other families whose questions a record keeps -> the member that owns the
    most of each, and the questions, none of a family whose questions it does not keep.

    Those that one member owns most come first.
    """
    owned, questions = run["result"][owners], run["result"]["questions"]
    counts = dict(zip(owned["families"], map(np.array, owned["owned"]), strict=True))
    families = dict.fromkeys([*(family for family, _ in find_specialities(owned).values()), *questions])
    shares = {family: 100 * counts[family] / counts[family].sum() for family in families}
    return {
        family: (f"S{1 + shares[family].argmax()}, {shares[family].max():.0f} %", questions.get(family, []))
        for family in sorted(shares, key=lambda family: -shares[family].max())
    }


def list_said(runs_of: Mapping[str, Runs], places: Sequence[int]) -> dict[str, dict[str, dict[str, str]]]:
    """Fig. 4: question and true answer -> rule -> each member's first answer with its probability, and that of all.

    `runs_of`: by rule, of which the lowest seed is read; `places`: of the test questions that a record keeps.
    """
    said: dict[str, dict[str, dict[str, str]]] = {}
    for rule, runs in runs_of.items():
        for shown in [_first(runs)["shown"][place] for place in places] if runs else ():
            firsts = (answers[0] for answers in shown["members"])
            cells = {f"S{i + 1}": f"{answer} ({p:.2f})" for i, (answer, p) in enumerate(firsts)}
            title = f"{' '.join(shown['words'])}: {shown['truth']}"
            said.setdefault(title, {})[rule] = cells | {"together": shown["together"][0]}
    return said


def _first(runs: Runs) -> Mapping:
    return min(runs, key=lambda run: run["recipe"]["seed"])["result"]
