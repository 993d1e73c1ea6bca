"""Records -> numbers, verdicts and tables. Reads JSON alone: no torch, no GPU, no data set.

The one rule for verdicts: a claim is a comparison, `more` > `less`, made seed by seed, and judged by the 95 % interval
of the paired difference. KINDS says how.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from vqabook.evidence.record import EVIDENCE, key_of, kind_of, read_records
from vqabook.report.claims import HAS, LONGER, Claim, Metric, Side
from vqabook.report.plain import clear, name_run, name_set, sign

MIN_SEEDS = 3
NEAR = 1.0  # points: a difference smaller than that is none
KINDS = {  # of a verdict -> when
    "holds": "the interval lies above zero",
    "fails": "the interval lies below zero",
    "smaller": "the interval holds zero and excludes the printed effect: the data would have shown what is printed",
    "no difference": f"no effect is printed, and the interval lies within ±\u00a0{NEAR:.0f} point",
    "undecided": "none of these: the data could not have shown the effect",
    "conditions not met": "the data set lacks what the claim needs, or a model is not converged; shown, never counted",
    "not run": f"fewer than {MIN_SEEDS} seeds",
}
UNTESTED = ("conditions not met", "not run")


@dataclass(frozen=True)
class Verdict:
    """A comparison's outcome: `mean` paired difference with its 95 % interval over `n` seeds."""

    kind: str  # of KINDS
    mean: float | None = None
    std: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    printed: float | None = None  # the paper's difference
    differences: Mapping[int, float] = field(default_factory=dict)  # by seed
    dataset: str = ""
    records: tuple[str, ...] = ()  # names of those that were read
    commits: tuple[str, ...] = ()  # that made them
    why: str = ""  # which condition is not met
    converged: bool | None = None  # None: the records cannot tell
    shared: float = 0.0  # what rows that seeds share add to 1 / n: `find_shared`

    @property
    def detectable(self) -> float | None:
        """The effect that the data could have seen: half the interval's width.

        A measured difference as large as that is the smallest one whose interval excludes zero.
        """
        return None if self.low is None or self.high is None else (self.high - self.low) / 2

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval; None where there is none."""
        return None if self.low is None or self.high is None else (self.low, self.high)


def judge(
    differences: Sequence[float], *, printed: float | None = None, near: float | None = None, shared: float = 0.0
) -> Verdict:
    """The verdict on paired differences, one a seed (Student's t).

    `printed`: the paper's difference. `near`: how far from zero an interval may reach and still be no difference; None:
    the unit has no such bound. `shared`: of seeds that divide the same rows anew, `find_shared`; the variance of their
    mean is s² (1 / n + shared).
    """
    n = len(differences)
    if n == 0:
        return Verdict("not run", printed=printed)
    mean, std = float(np.mean(differences)), float(np.std(differences, ddof=1)) if n > 1 else None
    if n < MIN_SEEDS:
        return Verdict("not run", mean, std, n=n, printed=printed)
    half = float(stats.t.ppf(0.975, n - 1) * std * np.sqrt(1 / n + shared))
    low, high = mean - half, mean + half
    return Verdict(_kind(low, high, printed, near), mean, std, low, high, n, printed, shared=shared)


def _kind(low: float, high: float, printed: float | None, near: float | None) -> str:
    if low > 0 or high < 0:
        return "holds" if low > 0 else "fails"
    if printed:
        return "undecided" if low <= printed <= high else "smaller"
    return "no difference" if near is not None and -near <= low and high <= near else "undecided"


def number(record: Mapping, metric: Metric) -> float | None:
    """The number at a dotted path of a record's result, `history.-1.valid` for example; None where there is none."""
    value = metric(record["result"]) if callable(metric) else value_at(record, metric)
    return None if value is None else float(value)


def value_at(record: Mapping, metric: str) -> Any:
    """Whatever stands at such a path; None where nothing does."""
    at: Any = record["result"]
    rest = metric
    while rest:
        whole = isinstance(at, Mapping) and rest in at  # a name may have dots
        step, rest = (rest, "") if whole else rest.partition(".")[::2]
        try:
            at = at[int(step)] if isinstance(at, list) else at[step]
        except (KeyError, IndexError, TypeError):
            return None
    return at


def matching(records: Iterable[Mapping], where: Mapping[str, object]) -> list[Mapping]:
    """The records whose recipe has these values."""
    for name, value in where.items():  # one after another: the first leaves few
        records = [record for record in records if record["recipe"].get(name) == value]
    return list(records)


class BySeed(dict[int, float]):
    """A number per seed; `machines`: the machine kind that made each; `shared`: what `find_shared` says of the data."""

    def __init__(self, numbers: Iterable = (), machines: Mapping[int, str] | None = None, shared: float = 0.0):
        super().__init__(numbers)
        self.machines, self.shared = dict(machines or {}), shared


def find_shared(recipe: Mapping) -> float:
    """Test rows over all others where every seed divides the same rows anew; 0 where test rows are the same for all.

    Its data's `held_out` is the share of rows that a seed draws for test. Two such seeds share rows, and so do their
    errors: the corrected resampled t-test of Nadeau and Bengio 2003, "Inference for the Generalization Error", adds
    test over training rows to 1 / n. All rows but test's stand for training's here, however few of them are trained
    on: what two seeds share above all is test rows.
    """
    held_out = recipe.get("data", {}).get("held_out")
    return held_out / (1 - held_out) if held_out else 0.0


def by_seed(records: Iterable[Mapping], where: Mapping[str, object], metric: Metric) -> BySeed:
    """The metric per seed. Two different runs of one seed are an error: a column never mixes data sets or settings."""
    numbers = BySeed()
    for record in matching(records, where):
        value, seed = number(record, metric), record["recipe"]["seed"]
        if value is None:
            continue
        if seed in numbers:
            raise ValueError(
                f"one column shows one setting: two records of {dict(where)} with seed {seed} differ in other "
                "parameters; select more narrowly"
            )
        numbers[seed], numbers.machines[seed] = value, kind_of(record)
        numbers.shared = max(numbers.shared, find_shared(record["recipe"]))
    return numbers


def pair(more: BySeed, less: BySeed) -> BySeed:
    """`more` - `less` at the seeds that both have; an error where they come from two machine kinds."""
    gains = BySeed(machines=more.machines, shared=max(more.shared, less.shared))
    for seed in sorted(more.keys() & less.keys()):
        kinds = more.machines.get(seed), less.machines.get(seed)
        if None not in kinds and kinds[0] != kinds[1]:
            raise ValueError(
                f"both sides of a pair come from one machine kind: those of seed {seed} were made on {kinds[0]} and on "
                f"{kinds[1]}; make both on one"
            )
        gains[seed] = more[seed] - less[seed]
    return gains


def of_side(records: Sequence[Mapping], side) -> BySeed:
    """A claim's side per seed: its number, or what it gains over another."""
    numbers = by_seed(records, side.where, side.metric)
    return numbers if side.over is None else pair(numbers, of_side(records, side.over))


def of_claim(records: Sequence[Mapping], claim) -> BySeed:
    """What a claim compares, per seed: `more` - `less`."""
    return pair(of_side(records, claim.more), of_side(records, claim.less))


def tell_shared(found: Iterable[Verdict]) -> str:
    """A caption's words on intervals that allow for rows which seeds share, with their blank; "" where none does."""
    names = sorted({name_set(verdict.dataset) for verdict in found if verdict.shared and verdict.interval})
    return f" Intervals of {' and '.join(names)} allow for rows that seeds share." if names else ""


def gain(records: Sequence[Mapping], side) -> tuple[list[float], tuple[float, float] | None]:
    """A side of each seed, and the 95 % interval of its mean: what `figures.gains` draws."""
    numbers = of_side(records, side)
    seeds = list(numbers.values())
    return seeds, judge(seeds, shared=numbers.shared).interval


def verdict_on(claim: Claim, records: Sequence[Mapping]) -> Verdict:
    """The verdict on a claim from the records of one data set and profile."""
    differences = of_claim(records, claim)
    near = NEAR if claim.unit == "points" else None
    verdict = judge(list(differences.values()), printed=claim.printed, near=near, shared=differences.shared)
    if not differences:
        return verdict
    used = [record for side in claim.sides() for record in matching(records, side.where)]
    dataset = used[0]["recipe"]["data"]["dataset"]
    lacks = [need for need in claim.needs if need not in HAS.get(dataset, claim.needs)]
    doubts = find_doubts(claim, records)
    why = [f"{name_set(dataset)} has no {need}" for need in lacks] + [doubt for doubt in doubts or () if doubt]
    return replace(
        verdict,
        kind="conditions not met" if why and verdict.n >= MIN_SEEDS else verdict.kind,
        differences=dict(differences),
        dataset=dataset,
        records=tuple(sorted({key_of(record["recipe"]) for record in used})),
        commits=tuple(sorted({record["provenance"]["commit"] for record in used})),
        why="; ".join(why),
        converged=not any(doubts) if doubts else None,
    )


CHANCE = 0.05
KNOWN = 90.0  # percent of its training rows that a network knows once it has learnt; ours
LEARNT = 1 / 8  # of what a guess gets wrong, what models make up that have learnt; ours: half of the least in print
HUNDREDTHS = ("points", "kappa x 100")  # units in which `STEADY` is
STEADY = 1.0  # how many points a number may move, on average, when a run is trained twice as long
COURSE = ("curves", "epochs_to_reach", "history")  # numbers on how training goes, whichever epoch is best


def find_doubts(claim: Claim, records: Sequence[Mapping]) -> list[str]:
    """What records say against the convergence of a claim's models, "" for each test that is passed.

    Empty where no record can tell: no run selects, sees questions alone, guesses, tells of training rows, is longer.
    """
    doubts = [_doubt_start(where, claim.guess, records) for where in claim.starts if claim.guess is not None]
    doubts += [_doubt_knowledge(where, records) for where in claim.learners]
    if claim.blind is not None:
        doubts += [_doubt_sight(where, claim.blind, records) for where in claim.models if where != claim.blind]
    if claim.selects:
        sides = [side for side in claim.sides() if str(side.metric).partition(".")[0] not in COURSE]
        doubts += [_doubt_end(where, records) for where in (*(side.where for side in sides), *claim.starts)]
    if claim.unit in HUNDREDTHS:
        doubts += [_doubt_length(side, records) for side in claim.sides()]
    return list(dict.fromkeys(doubt for doubt in doubts if doubt is not None))


def _doubt_length(side: Side, records: Sequence[Mapping]) -> str | None:
    """Whether a number moves when the same run is trained twice as long, by the mean over seeds."""
    if (move := find_move(records, side.where, side.metric)) is None or abs(move) <= STEADY:
        return None if move is None else ""
    return f"not converged: trained twice as long, one side moves by {sign(move, 1)} points"


def find_move(records: Sequence[Mapping], where: Mapping, metric: Metric) -> float | None:
    """By how much a run's number moves when it is trained twice as long, the mean over seeds; None: none is."""
    longer = by_seed(records, {**where, "variant": f"{where.get('variant')}{LONGER}"}, metric)
    as_it_is = by_seed(records, where, metric) if longer else BySeed()
    moves = [longer[seed] - as_it_is[seed] for seed in longer.keys() & as_it_is.keys()]
    return float(np.mean(moves)) if moves else None


def _doubt_start(where: Mapping, guess: Mapping, records: Sequence[Mapping]) -> str | None:
    """Whether models that others go on from make up enough of what a guess gets wrong, by validation of the same set.

    Not of the same bytes: whitened images have others on another machine.
    """
    runs = matching(records, where)
    levels = [level for run in runs if (level := valid_of(run)) is not None]
    sets = {run["recipe"]["data"]["dataset"] for run in runs}
    same = [r for r in matching(records, guess) if r["recipe"]["data"]["dataset"] in sets]
    if not levels or not same:
        return None
    level, guessed = float(np.mean(levels)), valid_of(same[0]) or 0.0
    if level - guessed >= LEARNT * (100 - guessed):
        return ""
    return f"not learnt: {name_run(where['variant'])} has {level:.1f} % on validation, a guess {guessed:.1f} %"


def _doubt_knowledge(where: Mapping, records: Sequence[Mapping]) -> str | None:
    """Whether runs know their training rows at the end, by the mean over seeds."""
    shares = list(by_seed(records, where, "train.overall").values())
    if not shares or np.mean(shares) >= KNOWN:
        return "" if shares else None
    return f"not learnt: {name_run(where['variant'])} knows {np.mean(shares):.1f} % of its training rows"


def _doubt_end(where: Mapping, records: Sequence[Mapping]) -> str | None:
    """Whether runs were still learning when they ended: most were best on validation at their last epoch.

    More, too, than would be by chance (5 %) had training levelled off: of three epochs one in three runs would.
    """
    chosen = [value_at(record, "selection") for record in matching(records, where)]
    ends = [(at["best_by_valid"]["epoch"], at["last"]["epoch"]) for at in chosen if at is not None]
    if not ends:
        return None
    n, late = len(ends), sum(best == last for best, last in ends)
    if 2 * late <= n or stats.binom.sf(late - 1, n, 1 / ends[0][1]) >= CHANCE:
        return ""
    return f"not converged: {late} of {n} runs of {name_run(where['variant'])} were still learning when they ended"


def _doubt_sight(where: Mapping, blind: Mapping, records: Sequence[Mapping]) -> str | None:
    """Whether a model beats one that sees the question alone, by the mean over seeds on the same validation rows."""
    seeing, unseeing = (
        {(r["recipe"]["seed"], rows_of(r)): valid_of(r) for r in matching(records, which)} for which in (where, blind)
    )
    pairs = [(seeing[key], unseeing[key]) for key in seeing.keys() & unseeing.keys()]
    gains = [sees - reads for sees, reads in pairs if sees is not None and reads is not None]
    if not gains:
        return None
    if (gain := float(np.mean(gains))) > 0:
        return ""
    name = name_run(where["variant"])
    return f"not converged: {name} is no better on validation than a model without images ({sign(gain, 1)} points)"


def valid_of(record: Mapping) -> float | None:
    """The validation score at the epoch that a run reports."""
    last = number(record, "valid")
    return number(record, "selection.best_by_valid.valid") if last is None else last


def rows_of(record: Mapping) -> str:
    """Which validation rows a run had. In the embedded world a model without images has the same ones."""
    data = record["recipe"]["data"]
    left_out = ("images", "digest") if data.get("world") else ()
    return repr(sorted((key, repr(value)) for key, value in data.items() if key not in left_out))


def evidence(paper: str, *, profile: str = "real", dataset: str | tuple[str, ...] | None = None) -> list[Mapping]:
    """The recorded runs of a paper, tracked in book/evidence/: those of one profile and, if given, of some data sets.

    Where a run was recorded again (other code, other parameters), the newest counts.
    """
    newest: dict[tuple, Mapping] = {}
    asked = (dataset,) if isinstance(dataset, str) else dataset
    for record in sorted(read_records(EVIDENCE / paper), key=lambda r: r["provenance"]["started"]):
        recipe = record["recipe"]
        if recipe["profile"] == profile and (asked is None or recipe["data"]["dataset"] in asked):
            newest[recipe["data"]["dataset"], recipe["variant"], recipe["prior"], recipe["seed"]] = record
    return list(newest.values())


def with_parts(records: Sequence[Mapping], paper: str, parts: Iterable[str], *, profile: str) -> list[Mapping]:
    """`records`, and the recorded runs of those `parts` of which they have none: they need another environment."""
    absent = set(parts) - {r["recipe"].get("part") for r in records}
    more = evidence(paper, profile=profile) if absent else []
    return [*records, *(r for r in more if r["recipe"].get("part") in absent)]


def mean_std(values: Iterable[float], *, signed: bool = False) -> str:
    """`mean ± std`, or a dash; `signed` puts a plus before what is positive."""
    values = list(values)
    if not values:
        return "–"
    spread = f"\u00a0±\u00a0{np.std(values, ddof=1):.2f}" if len(values) > 1 else ""  # kept on one line
    return f"{(sign if signed else clear)(float(np.mean(values)))}{spread}"


def mean_interval(numbers: BySeed) -> str:
    """`+mean [low, high]`, the 95 % interval of the mean; `mean ± std` where there is none."""
    values = list(numbers.values())
    verdict = judge(values, shared=numbers.shared)
    if verdict.mean is None or verdict.interval is None:
        return mean_std(values)
    low, high = map(clear, verdict.interval)
    return f"{sign(verdict.mean)} [{low},\u00a0{high}]"


def seeds_of(found: Iterable[Mapping[int, float]]) -> str:
    """`n = 3`, or `n = 1 to 3`, of several cells; empty if none holds a value."""
    sizes = sorted({len(values) for values in found if values})
    return f"n = {sizes[0]}{f' to {sizes[-1]}' if sizes[1:] else ''}" if sizes else ""


def table(
    rows: Mapping[str, Mapping],
    columns: Mapping[str, tuple[Sequence[Mapping], Mapping, str]],
    printed: Mapping[str, Mapping[str, float | str]] | None = None,
) -> pd.DataFrame:
    """A table of the paper beside ours, cells mean ± std, headings with their n.

    `rows`: label -> recipe values; `columns`: heading -> (records, recipe values, metric); `printed` columns come
    first, heading -> {row label: the paper's number, or its whole cell}. A column without a single number is left out.
    """
    cells: dict[str, dict[str, str]] = {}
    for heading, values in (printed or {}).items():
        told = {label: value if isinstance(value, str) else f"{value:.2f}" for label, value in values.items()}
        cells[heading] = {label: told.get(label, "–") for label in rows}
    for heading, (records, where, metric) in columns.items():
        found = {label: by_seed(records, {**where, **row}, metric) for label, row in rows.items()}
        if n := seeds_of(found.values()):
            cells[f"{heading} ({n})"] = {label: mean_std(values.values()) for label, values in found.items()}
    return pd.DataFrame(cells, index=list(rows))
