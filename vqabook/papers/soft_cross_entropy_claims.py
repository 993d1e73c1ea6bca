"""What Ilievski & Feng 2017 (soft cross-entropy) print, as comparisons: Table 1, Figs. 1-2, and two of ours."""

from __future__ import annotations

from vqabook.claims import Claim, Side
from vqabook.papers.soft_cross_entropy_setting import IMAGES, MODELS

PAPER = "Ilievski & Feng 2017, soft cross-entropy"
PAGE = "03_soft_cross_entropy"
DATA = "VQA v2 val"
BESIDE: tuple[str, ...] = ()  # other data sets whose runs verdicts on real data come from
FURTHER: tuple[str, ...] = ()  # data sets with verdicts of their own
RECORDED = {"profile": "real", "dataset": "vqa_v2_60k"}  # the evidence that verdicts on real data come from

METRICS = {"All": "overall", "Y/N": "yes/no", "Num.": "number", "Other": "other"}
TABLE_1 = {  # best validation accuracy
    ("avg", "modal"): {"All": 46.8, "Y/N": 55.8, "Num.": 29.8, "Other": 42.4},
    ("avg", "votes"): {"All": 48.0, "Y/N": 57.1, "Num.": 31.0, "Other": 43.3},
    ("pool", "modal"): {"All": 58.8, "Y/N": 70.1, "Num.": 37.5, "Other": 53.1},
    ("pool", "votes"): {"All": 60.4, "Y/N": 71.9, "Num.": 39.0, "Other": 54.6},
}
UNTESTED = (  # where, what the text says, why no claim of ours tests it
    ("Figs. 1-2", "with cross-entropy the training loss falls fast while validation gains nothing",
     "no number is printed and no threshold given; the page shows both curves"),
    ("Abstract", "an accuracy higher by as much as 1.6 points", "the largest cell of Table 1, which the claims test"),
)  # fmt: skip


def claim(name: str, statement: str, where: str, more: tuple, less: tuple, *, unit: str = "points") -> Claim:
    """A claim between two (variant, metric, printed value) sides."""
    sides = (Side({"variant": v, "prior": "same"}, metric, printed) for v, metric, printed in (more, less))
    return Claim(name, statement, where, *sides, PAGE, PAPER, DATA, unit)


def _table_1() -> tuple[Claim, ...]:
    """(a): higher accuracy overall and for every answer type, with both models."""
    found = []
    for model in IMAGES:
        for title, kind in METRICS.items():
            more, less = ((f"{model} {of}", f"test.{kind}", TABLE_1[model, of][title]) for of in ("votes", "modal"))
            on = "" if kind == "overall" else f" on {kind} questions"
            name = f"soft-ce-table-1-{model}-{kind.replace('/', '-')}"
            statement = f"{MODELS[model]}: soft cross-entropy beats cross-entropy{on}"
            found.append(claim(name, statement, f"Table 1, {MODELS[model]}, {title}", more, less))
    return tuple(found)


def _figures() -> tuple[Claim, ...]:
    """(b): validation loss and accuracy rise together with cross-entropy and not with soft cross-entropy; (c) speed."""
    found = []
    for model in IMAGES:
        title, hard, soft = MODELS[model], f"{model} modal", f"{model} votes"
        rows = (
            ("loss-rises", "cross-entropy: validation loss rises from the middle of training to its end",
             (hard, "curves.loss_last", None), (hard, "curves.loss_middle", None), "loss"),
            ("accuracy-rises", "cross-entropy: validation accuracy rises from the middle of training to its end",
             (hard, "curves.accuracy_last", None), (hard, "curves.accuracy_middle", None), "points"),
            ("soft-loss-falls", "soft cross-entropy: validation loss falls from the middle of training to its end",
             (soft, "curves.loss_middle", None), (soft, "curves.loss_last", None), "loss"),
            ("loss-rises-less", "validation loss rises more with cross-entropy than with soft cross-entropy",
             (hard, "curves.loss_rise", None), (soft, "curves.loss_rise", None), "% of the loss"),
            ("together", "validation loss goes with accuracy more for cross-entropy than for soft cross-entropy",
             (hard, "curves.together", None), (soft, "curves.together", None), "correlation"),
            ("faster", "soft cross-entropy reaches an accuracy in fewer epochs than cross-entropy",
             (hard, "epochs_to_reach", None), (soft, "epochs_to_reach", None), "epochs"),
        )  # fmt: skip
        for name, statement, more, less, unit in rows:
            where = "Abstract, convergence" if name == "faster" else "Figs. 1-2"
            found.append(
                claim(f"soft-ce-{model}-{name}", f"{title}, {statement}", f"{where}; {title}", more, less, unit=unit)
            )
    return tuple(found)


def _ours() -> tuple[Claim, ...]:
    """What the paper does not ask: where the gain comes from."""
    found = []
    for model in IMAGES:
        sides = [(f"{model} {of}", "test.contested_gap", None) for of in ("votes", "modal")]
        statement = "soft cross-entropy gains more where annotators disagree than where all ten agree"
        found.append(claim(f"soft-ce-{model}-contested", f"{MODELS[model]}: {statement}", "Ours", *sides))
    sides = [(f"avg {of}", "test.overall", None) for of in ("votes", "votes @ others' answers")]
    statement = "AVG: minority answers help because they are this question's, not because they smooth the labels"
    return *found, claim("soft-ce-strangers", statement, "Ours", *sides)


CLAIMS = (*_table_1(), *_figures(), *_ours())
