"""What Ilievski & Feng 2017 (soft cross-entropy) print, as comparisons: Table 1, Figs. 1-2, and two of ours."""

from collections.abc import Iterator

from vqabook.papers.soft_cross_entropy.setting import IMAGES, MODELS
from vqabook.report.claims import Claim, Side, mark_headlines

TITLE = "Soft cross-entropy (Ilievski & Feng 2017)"
PAGE = "03_soft_cross_entropy"
DATA = "VQA v2 val"

METRICS = {"All": "overall", "Y/N": "yes/no", "Num.": "number", "Other": "other"}
TABLE_1 = {  # best validation accuracy
    ("avg", "modal"): {"All": 46.8, "Y/N": 55.8, "Num.": 29.8, "Other": 42.4},
    ("avg", "votes"): {"All": 48.0, "Y/N": 57.1, "Num.": 31.0, "Other": 43.3},
    ("pool", "modal"): {"All": 58.8, "Y/N": 70.1, "Num.": 37.5, "Other": 53.1},
    ("pool", "votes"): {"All": 60.4, "Y/N": 71.9, "Num.": 39.0, "Other": 54.6},
}
VALIDATION = {"Y/N": 80_541, "Num.": 28_134, "Other": 105_679}  # questions of VQA v2 val
CONTRADICTIONS = (  # where, what the paper prints there
    ("Table 1, All", "no mixture of the three answer types in the proportions of VQA v2 val makes the overall column; "
     "the released way of counting answer types explains it."),
    ("AVG and its release", "the text describes LSTMs; in the released code AVG has a GRU."),
)  # fmt: skip
UNTESTED = (  # where, what the text says, why no claim of ours tests it
    ("Figs. 1-2", "with cross-entropy the training loss falls fast while validation gains nothing",
     "no number is printed and no threshold given; page 03.2 shows the training loss"),
    ("Abstract", "an accuracy higher by as much as 1.6 points", "POOL's overall gain in Table 1, which a claim tests"),
)  # fmt: skip


def mix_types(cells: dict[str, float]) -> float:
    """What the accuracies by answer type make overall, if they are those of VQA v2 val."""
    return sum(cells[kind] * n for kind, n in VALIDATION.items()) / sum(VALIDATION.values())


def claim(name: str, statement: str, where: str, more: tuple, less: tuple, *, unit: str = "points") -> Claim:
    """A claim between two (variant, metric, printed value) sides."""
    first, second = (Side({"variant": v, "prior": "same"}, metric, printed) for v, metric, printed in (more, less))
    seeing = dict.fromkeys(variant for variant, *_ in (more, less) if not variant.startswith("question "))
    return Claim(
        name, statement, where, first, second, PAGE, TITLE, DATA, unit, needs=("ten votes",), selects=True,
        models=tuple({"variant": variant} for variant in seeing), blind={"variant": "question votes"},
    )  # fmt: skip


def _table_1() -> Iterator[Claim]:
    """(a): higher accuracy overall and for every answer type, with both models."""
    for model in IMAGES:
        for title, kind in METRICS.items():
            more, less = ((f"{model} {of}", f"test.{kind}", TABLE_1[model, of][title]) for of in ("votes", "modal"))
            on = "" if kind == "overall" else f" on {kind} questions"
            name = f"soft-ce-table-1-{model}-{kind.replace('/', '-')}"
            statement = f"{MODELS[model]}: soft cross-entropy beats cross-entropy{on}"
            yield claim(name, statement, f"Table 1, {MODELS[model]}, {title}", more, less)


def _figures() -> Iterator[Claim]:
    """(b): validation loss and accuracy rise together with cross-entropy and not with soft cross-entropy; (c) speed."""
    for model in IMAGES:
        title, hard, soft = MODELS[model], f"{model} modal", f"{model} votes"
        rows = (
            ("loss-rises", "cross-entropy: validation loss rises from the middle of training to its end",
             (hard, "curves.modal.last", None), (hard, "curves.modal.middle", None), "loss"),
            ("accuracy-rises", "cross-entropy: validation accuracy rises from the middle of training to its end",
             (hard, "curves.accuracy_last", None), (hard, "curves.accuracy_middle", None), "points"),
            ("soft-loss-falls", "soft cross-entropy: validation loss falls from the middle of training to its end",
             (soft, "curves.votes.middle", None), (soft, "curves.votes.last", None), "loss"),
            ("rises-less", "validation loss, measured as cross-entropy, rises less after training with the soft loss",
             (hard, "curves.modal.rise", None), (soft, "curves.modal.rise", None), "loss"),
            ("rises-less-softly", "validation loss, measured as soft cross-entropy, rises less after training with it",
             (hard, "curves.votes.rise", None), (soft, "curves.votes.rise", None), "loss"),
            ("together", "validation loss goes with accuracy more for cross-entropy than for soft cross-entropy",
             (hard, "curves.modal.together", None), (soft, "curves.votes.together", None), "correlation"),
            ("faster", "soft cross-entropy reaches an accuracy in fewer epochs than cross-entropy",
             (hard, "epochs_to_reach", None), (soft, "epochs_to_reach", None), "epochs"),
        )  # fmt: skip
        for name, statement, more, less, unit in rows:
            where = "Abstract, convergence" if name == "faster" else "Figs. 1-2"
            statement = f"{title}{', ' if ':' in statement else ': '}{statement}"
            yield claim(f"soft-ce-{model}-{name}", statement, f"{where}; {title}", more, less, unit=unit)


def _ours() -> Iterator[Claim]:
    """What the paper does not ask: where the gain comes from, and whether another target does better."""
    rows = (
        ("question", "The model without an image: soft cross-entropy beats cross-entropy", "question votes",
         "question modal"),
        ("release", "AVG, trained on the questions that the release keeps: soft cross-entropy beats cross-entropy",
         "avg votes @ release", "avg modal @ release"),
        ("strangers", "AVG: a question's own minority answers beat those of other questions of its type", "avg votes",
         "avg votes @ others' answers"),
        ("smoothing", "AVG: the minority answers of other questions of the type still beat cross-entropy",
         "avg votes @ others' answers", "avg modal"),
        *((f"{model}-scores", f"{MODELS[model]}: soft scores, min(1, 0.3 n), beat counts", f"{model} scores",
           f"{model} votes") for model in IMAGES),
    )  # fmt: skip
    for model in IMAGES:
        sides = [(f"{model} {of}", "test.contested_gap", None) for of in ("votes", "modal")]
        statement = "soft cross-entropy gains more where annotators disagree than where all ten agree"
        yield claim(f"soft-ce-{model}-contested", f"{MODELS[model]}: {statement}", "Ours", *sides)
    for name, statement, *runs in rows:
        yield claim(f"soft-ce-{name}", statement, "Ours", *((run, "test.overall", None) for run in runs))


HEADLINES = (
    *(f"soft-ce-table-1-{model}-overall" for model in IMAGES),
    *(f"soft-ce-{model}-{finding}" for model in IMAGES for finding in ("together", "faster")),
)
CLAIMS = mark_headlines((*_table_1(), *_figures(), *_ours()), HEADLINES)
