"""What a contest on questions found, as JSON, Markdown and one HTML page: every number is read from its records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from vqabook import __version__
from vqabook.arena.page import Block, Cells, Code, Heading, Picture, Text
from vqabook.arena.questions import pictures
from vqabook.arena.questions.ranking import BLIND, NOT_LEARNT, SCORE, START, VALID, Ranking, Standing, rank, read
from vqabook.arena.questions.sample import Asked
from vqabook.arena.questions.snippets import TITLES, write_code
from vqabook.arena.ranking import count_divisions, count_rows
from vqabook.arena.report import OPEN, WORDS, tell_cell, tell_gain, tell_needs, write_pages
from vqabook.evidence.record import write_json
from vqabook.report.plain import clear, minus, sign
from vqabook.report.verdicts import MIN_SEEDS, BySeed, Verdict, matching, pair

PRIORS = ("changing", "same")
GOES_ON = "`model` returns an `Output` (`vqabook.core`), as UpDn does; `model`, `optimizer` and `batches` are yours"


@dataclass(frozen=True)
class Report:
    """The questions, the records of all rules, and who leads."""

    asked: Asked
    records: Sequence[Mapping]
    ranking: Ranking

    @classmethod
    def of(cls, asked: Asked, records: Sequence[Mapping]) -> Report:
        """The report of the records that the runs left."""
        return cls(asked, records, rank(records, asked))

    @property
    def seeds(self) -> list[int]:
        """Those of the contest."""
        return sorted(self.ranking.row(START).scores)

    @property
    def run(self) -> Mapping:
        """A training, whose recipe says how all were trained."""
        return matching(self.records, {"variant": START, "prior": "changing"})[0]

    def numbers(self, variant: str, prior: str = "changing", metric: str = SCORE) -> BySeed:
        """A number of a variant by seed."""
        return read(self.records, self.asked, variant, prior, metric)

    def gains(self, prior: str) -> dict[str, BySeed]:
        """What every rule gains over none, with sight and without."""
        found = {}
        for row in self.ranking.rows:
            for of in ("", BLIND):
                found[of + row.name] = pair(self.numbers(of + row.name, prior), self.numbers(of + START, prior))
        return found

    def count(self, prior: str) -> Mapping:
        """What answers look like by question type, before any training."""
        return matching(self.records, {"kind": "statistics", "prior": prior})[0]["result"]


def write(report: Report, folder: Path) -> str:
    """report.json, report.md with its pictures, and report.html in `folder`; the answer as text."""
    told = minus(" ".join(answer(report)).replace("**", ""))
    write_json(folder / "report.json", summarise(report, told))
    write_pages(list_blocks(report), folder)
    return told


def answer(report: Report) -> list[str]:
    """Which rule, what it gains where priors change and costs where not, and whether a model gains as much unseen."""
    name, start, chosen = report.asked.name, report.ranking.row(START), report.ranking.chosen
    if not start.has_learnt:
        return [
            f"**UpDn has not learnt to look** on {name}: without a rule it is no better on validation than the model "
            f"without images ({sign(start.sight.mean or 0.0)} points), so that no gain is one of sight.",
            "More questions, more training (--epochs) or better features would tell; until then keep Sigm-BCE.",
        ]
    if chosen is None:
        others = [row for row in report.ranking.rows if row.name != START]
        first = f"**No rule is better for sure than Sigm-BCE without one** on {name}, where priors change: the first, "
        first += f"{TITLES[others[0].name]}, gains {tell_gain(others[0].gain)} points."
        if others[0].gain.interval is None:
            return [first, f"There is no interval of fewer than {MIN_SEEDS} seeds: give more (--seeds)."]
        return [first, "Keep Sigm-BCE, or bring more questions; what it would take stands below."]
    level = f"{clear(chosen.mean, 1)} % in place of {clear(start.mean, 1)} %"
    return [
        f"**Take {TITLES[chosen.name]}** where priors change: on {name} it gains {tell_gain(chosen.gain)} points of "
        f"VQA accuracy over Sigm-BCE without a rule ({level}).",
        _tell_cost(chosen),
        _tell_blind(chosen),
    ]


def _tell_cost(row: Standing) -> str:
    told = {"holds": "Where they stay it gains, too", "fails": "Where they stay it costs accuracy"}
    return f"{told.get(row.cost.kind, 'Where they stay no cost is seen')}: {tell_gain(row.cost)} points."


def _tell_blind(row: Standing) -> str:
    """Whether the gain is one of sight: what the model gains beyond one that sees no image."""
    unseen = f"A model that sees no image gains {tell_gain(row.blind)} by the same rule"
    if row.beyond.kind == "holds":
        return f"{unseen}: {tell_gain(row.beyond)} of the gain is the image's."
    told = f"{unseen}, so that a gain of sight is not seen ({tell_gain(row.beyond)} beyond it): the rule"
    if row.beyond.kind == "undecided":
        return f"{told} may do no more than change which answers are preferred."
    return f"{told} changes which answers are preferred, and does not make the model look."


def list_blocks(report: Report) -> list[Block]:
    """The report in its order."""
    return [
        Heading(f"Which rule against language priors for {report.asked.name}", 1),
        Text(" ".join(answer(report)), "answer"),
        *_warn(report),
        *_show_types(report),
        *_show_ranking(report),
        *_show_table(report),
        *_show_code(report),
        *_show_open(report),
        *_show_method(report),
    ]


def _warn(report: Report) -> list[Block]:
    """Who gains beyond the model without images, and who is no better than it on validation."""
    rows = report.ranking.rows
    ahead = [row for row in rows if row.kind == "holds" and row.beyond.kind == "holds"]
    told = ", ".join(f"{TITLES[row.name]} ({tell_gain(row.beyond)})" for row in ahead) or "none is seen to"
    blocks: list[Block] = [Text(f"Rules that gain more for UpDn than for the model without images: {told}.", "note")]
    if unseeing := [TITLES[row.name] for row in rows if not row.sees]:
        blocks.append(
            Text(
                "On validation UpDn is no better than the model without images by the same rule: "
                f"{', '.join(unseeing)}.",
                "note",
            )
        )
    return blocks


def _show_types(report: Report) -> list[Block]:
    whole, changed = report.count("same")["types"], report.count("changing")["types"]
    shown = pictures.pick_types(whole, pictures.SHOWN)
    first = max(shown, key=lambda name: pictures.share_first(shown[name]))
    found = (
        f"Of {len(whole):,} question types {len(shown)} are shown; the most skewed of them, “{first} …”, has "
        f"“{shown[first]['answers'][0]}” for {pictures.share_first(shown[first]):.0f} % of its training questions."
    )
    moved = pictures.pick_types(changed, pictures.PANELS)
    rows = -(-len(moved) // 2)
    drawn = "as the set itself does" if report.asked.native == "changing" else "as VQA-CP does: none is in both"
    return [
        Heading("The questions"),
        Picture(
            partial(pictures.draw_types, types=shown),
            "types.svg",
            f"{found} Answers of the vocabulary alone, where priors stay.",
            f"Shares of the most frequent answers of each question type. {found}",
            (7.2, 1.0 + 0.31 * len(shown)),
            1.4 + 0.46 * len(shown),
        ),
        Picture(
            partial(pictures.draw_shift, types=moved),
            "shift.svg",
            f"Where priors change, a type's answers are divided between training (up) and test (down) {drawn}; seed "
            f"{report.seeds[0]}, the {len(moved)} largest types.",
            "Shares of answers in training and at test, by question type.",
            (7.2, 0.5 + 2.2 * rows),
            0.5 + 2.1 * len(moved),
        ),
        *(Text(note, "note") for note in report.asked.notes),
    ]


def _show_ranking(report: Report) -> list[Block]:
    ranking, n = report.ranking, len(report.seeds)
    above = sum(row.kind == "holds" for row in ranking.rows)
    found = f"{above} of {len(ranking.rows) - 1} rules gain for sure where priors change"
    draw = partial(
        pictures.draw_gains,
        ranking=ranking,
        gains={prior: report.gains(prior) for prior in PRIORS},
        titles=[TITLES[row.name] for row in ranking.rows],
    )
    picture = Picture(
        draw,
        "gains.svg",
        f"{found}. A dot a seed (n = {n}), the mean, and its 95 % interval. Green: the rule to take; brown: the model "
        "without images under the same rule, the yardstick of what a gain is worth.",
        f"Gains of each rule over none: {found}.",
        (7.2, 1.0 + 0.36 * len(ranking.rows)),
        1.6 + 0.9 * len(ranking.rows),
    )
    cells = [
        [TITLES[row.name], tell_gain(row.gain), row.kind, *map(tell_gain, (row.cost, row.blind, row.beyond))]
        for row in ranking.rows
        if row.name != START
    ]
    marked = [i for i, line in enumerate(cells) if ranking.chosen and line[0] == TITLES[ranking.chosen.name]]
    return [
        Heading("The ranking"),
        picture,
        Text(
            "Gains over Sigm-BCE without a rule in points, with 95 % intervals, paired by seed. Beyond it: the gain "
            f"less that of the model without images. {_tell_words(report)}",
            "note",
        ),
        Cells(
            ["rule", "priors change", "verdict", "priors stay", "without images", "beyond it"], cells, marked, "wide"
        ),
    ]


def _tell_words(report: Report) -> str:
    """What the verdicts that are there say."""
    words = {**WORDS, NOT_LEARNT: "by its loss alone UpDn is no better on validation than without images"}
    words["not run"] = f"fewer than {MIN_SEEDS} seeds"
    used = {row.kind for row in report.ranking.rows if row.name != START}
    return "; ".join(f"{kind}: {meaning}" for kind, meaning in words.items() if kind in used) + "."


def _show_table(report: Report) -> list[Block]:
    columns = {
        "priors change": ("", "changing", SCORE), "priors stay": ("", "same", SCORE),
        "validation": ("", "changing", VALID), "change, without images": (BLIND, "changing", SCORE),
        "validation, without images": (BLIND, "changing", VALID),
    }  # fmt: skip
    cells = [
        [TITLES[row.name], *(tell_cell(report.numbers(of + row.name, *how), 1) for of, *how in columns.values())]
        for row in report.ranking.rows
    ]
    marked = [i for i, row in enumerate(report.ranking.rows) if row == report.ranking.chosen]
    return [
        Heading("All scores"),
        Text(
            f"VQA accuracy at test, and soft scores of validation questions, which have training's priors, in percent: "
            f"mean ± standard deviation over {len(report.seeds)} seeds. A rule that loses much on validation has "
            "unlearnt the prior; one that has hardly trained looks alike.",
            "note",
        ),
        Cells(["rule", *columns], cells, marked, "wide"),
    ]


def _show_code(report: Report) -> list[Block]:
    row = report.ranking.leader.name
    return [
        Heading(f"The lines of {TITLES[row]}"),
        Text(
            f"In a loop of your own. {GOES_ON}: inputs, soft scores and question types of each batch. Columns of the "
            "training questions: `train_types` [n], `train_answers` and `train_votes` [n, k].",
            "note",
        ),
        Code(write_code(row)),
    ]


def _show_open(report: Report) -> list[Block]:
    leader = report.ranking.leader
    undecided = [row for row in report.ranking.rows if row.name != leader.name and row.behind.kind in OPEN]
    heading, title, n = Heading("What is undecided"), TITLES[leader.name], len(report.ranking.rows) - 1
    if len(report.seeds) < MIN_SEEDS:
        return [heading, Text(f"All is: there is no interval of fewer than {MIN_SEEDS} seeds; give more (--seeds).")]
    if not undecided:
        return [heading, Text(f"Nothing is open: {title} is told apart from every other rule.")]
    cells = [[TITLES[row.name], tell_gain(row.behind), *tell_needs(row.behind)] for row in undecided]
    shared = " Seeds divide the same questions anew, so that more of them help only so far." if _shares(report) else ""
    return [
        heading,
        Text(f"Not told apart from {title}, where priors change: {len(undecided)} of {n}.{shared}"),
        Cells(["rule", f"lead of {title}", "seeds in all", "or times as many questions"], cells),
    ]


def _shares(report: Report) -> bool:
    return report.asked.shared["changing"] > 0


def tell_method(report: Report) -> dict[str, str]:
    """Questions, divisions, training, machine and versions, in words."""
    asked, recipe, stamp = report.asked, report.run["recipe"], report.run["provenance"]
    counted = {prior: report.count(prior)["sizes"] for prior in PRIORS}
    sizes = "; ".join(
        f"where priors {'change' if prior == 'changing' else 'stay'}, {n['train']:,} of training, {n['valid']:,} of "
        f"validation, {n['test']:,} of test"
        for prior, n in counted.items()
    )
    drawn = {
        prior: f"{'drawn anew by each seed' if asked.shared[prior] else 'as the set has them'}" for prior in PRIORS
    }
    spread = (
        f"variance s² (1/n + {asked.shared['changing']:.2f}) for questions that seeds share, where priors change"
        if _shares(report)
        else "over seeds of training alone: all have the same test questions"
    )
    seconds = sum(record["provenance"]["seconds"] for record in report.records)
    return {
        "data": f"{asked.name}, {asked.n:,} questions, digest {asked.digest}; {asked.regions} regions an image, "
        f"{asked.width} columns; {counted['changing']['answers']:,} answers",
        "divisions": f"seeds {', '.join(map(str, report.seeds))}; {sizes}",
        "changed priors": f"{drawn['changing']}; same priors: {drawn['same']}; validation is carved out of training",
        "models": f"UpDn, {recipe['hidden']} units, and its question encoder with the classifier alone",
        "training": f"{recipe['epochs']} epochs and {recipe['rescale_epochs']} more, which alone have weights where a "
        f"rule weighs; Adamax in batches of {recipe['batch_size']}, step size {recipe['lr']:g}; the last epoch counts",
        "intervals": f"95 %, Student's t, paired by seed; {spread}",
        "machine": f"{stamp['hardware']}; {seconds:,.0f} s in all runs",
        "made by": f"vqabook {__version__}, torch {stamp['versions']['torch']}, code {stamp['code']}",
    }


def _show_method(report: Report) -> list[Block]:
    return [
        Heading("How it was done"),
        Cells(["", "this contest"], [[name, value] for name, value in tell_method(report).items()], kind="facts"),
        Text(
            "Every rule has the options of its paper, and trains as long as all others, on the same questions in the "
            "same order. Nothing is chosen on test questions. A large model on all of your questions may rank rules "
            "otherwise.",
            "note",
        ),
        Text(
            f"{len(report.ranking.rows) - 1} rules are compared with none: of twenty such intervals one misses by "
            "chance, and the gain of the best of many looks larger than it is.",
            "note",
        ),
    ]


def summarise(report: Report, told: str) -> dict:
    """The report for machines: its answer, and of every rule its verdicts and the numbers of each seed."""
    return {
        "answer": told,
        "recommended": report.ranking.chosen.name if report.ranking.chosen else None,
        "data": asdict(report.asked) | {"folder": str(report.asked.folder)},
        "protocol": tell_method(report),
        "rows": [_summarise(report, row) for row in report.ranking.rows],
    }


def _summarise(report: Report, row: Standing) -> dict:
    verdicts = {name: getattr(row, name) for name in ("gain", "cost", "blind", "beyond", "sight", "behind")}
    columns = {f"{of}{prior}": (of, prior, SCORE) for of in ("", BLIND) for prior in PRIORS}
    columns |= {f"{of}validation": (of, "changing", VALID) for of in ("", BLIND)}
    return {
        "row": row.name,
        "name": TITLES[row.name],
        "verdict": row.kind,
        "has_learnt": row.has_learnt,
        "sees": row.sees,
        "mean": row.mean,
        **{name: _tell(verdict) for name, verdict in verdicts.items()},
        "numbers": {
            name: {str(seed): x for seed, x in report.numbers(of + row.name, *how).items()}
            for name, (of, *how) in columns.items()
        },
    }


def _tell(verdict: Verdict) -> dict:
    kept = {name: getattr(verdict, name) for name in ("kind", "mean", "low", "high", "n")}
    return kept | {"seeds": count_divisions(verdict), "questions": count_rows(verdict)}
