"""What Guo et al. 2021 (loss re-scaling) print, as comparisons: all claims of pages 01 and 02, and the tables' rows.

The numbers as printed, the claims on six backbones and those on other tasks stand in the files beside this.
"""

from __future__ import annotations

from vqabook.papers.loss_rescaling.backbone_claims import (
    BACKBONE_CLAIMS,
    LOSSES,
    METRICS,
    TITLES,
    cells,
    claim,
    ours,
    run_of,
    table_v,
)
from vqabook.papers.loss_rescaling.printed import CP1, KAPPA, TABLE_V, V2
from vqabook.papers.loss_rescaling.vision_claims import VISION_CLAIMS
from vqabook.report.claims import Claim

BESIDE = ("cifar10", "faces")  # and those on other tasks (Sec. III-B)
FURTHER = ("vqa_v2_60k",)  # recorded besides, with verdicts of their own: all ten votes of a question are known
RECORDED = {"profile": "real", "dataset": "vqacp_v1_coco16k"}  # the evidence that verdicts on real data come from

PRINTED = TABLE_V  # VQA-CP v2 test, by variant
ROWS = {  # rows of Tables II to IV -> their runs
    row: {"variant": run_of(backbone, "bce", module)}
    for backbone, title in TITLES.items()
    for row, module in ((f"{title} ‡", "baseline"), (f"{title}+Ours", ours(backbone)))
}
BACKBONE_OF = {f"{title}+Ours": f"{title} ‡" for title in TITLES.values()}  # what † compares a row with
UNTESTED = (  # where, what the text says, why no claim of ours tests it
    ("Sec. VI-A", "ours is best over most answer categories",
     "of the rows compared with we train question-only, SAN and RUBi; the others are quoted"),
    ("Sec. VI-A", "two-branch methods outperform their contemporaries", "AdvReg, GVQA, HINT and VGQE are quoted"),
    ("Sec. VI-A", "the gap between VQA v2 val and VQA-CP v2 test measures the bias that is learned",
     "a difference of differences: a table of the page, without a verdict"),
    ("Fig. 7", "UpDn prefers little dropout of its mask, LM, CSS and LMH more",
     "a table of the page with verdicts of its own: not all presets run it"),
    ("Sec. VI-D, Fig. 9", "attention moves to what the question asks for", "a few examples of the authors' choice"),
)  # fmt: skip


def _as_released() -> tuple[Claim, ...]:
    """The same comparisons by what the released code computes, and with weights from the first epoch on."""
    sides = (
        ("As released, Sigm-BCE: both beats baseline", "bce both", "release"),
        ("As released, Sigm-BCE: re-scaling beats baseline", "bce re-scaling", "release"),
        ("Weighted from the first epoch, Soft-CE: re-scaling beats baseline", "ce re-scaling", "from the start"),
    )
    claims = []
    for statement, variant, how in sides:
        baseline = f"{variant.split(' ')[0]} baseline"
        more = (f"{variant} @ {how}", "changing", "test.overall", PRINTED[variant])
        less = (baseline, "changing", "test.overall", PRINTED[baseline])
        claims.append(
            claim(f"{variant} {how}".replace(" ", "-"), statement, "Table V, UpDn, not by the equations", more, less)
        )
    for backbone, title in (("css", "CSS"), ("lxmert", "LXMERT")):  # LM, LMH: the release weighs both terms, as Eq. 11
        more, less = (run_of(backbone, "bce", module) for module in ("re-scaling", "baseline"))
        claims.append(
            claim(
                f"{backbone}-bce-re-scaling-positive-term",
                f"{title}, weights on the positive term of Sigm-BCE alone: re-scaling beats baseline",
                f"Table V, {title}, not by the equations",
                (f"{more} @ positive term only", "changing", "test.overall", TABLE_V[more]),
                (less, "changing", "test.overall", TABLE_V[less]),
            )
        )
    return tuple(claims)


def _per_answer_type() -> tuple[Claim, ...]:
    """Table III (VQA-CP v1, of which our real data is a part), UpDn against UpDn + ours; and kappa, Table IV."""
    runs, found = ("bce both", "bce baseline"), []
    for title, kind in METRICS.items():
        sides = [(run, "changing", f"test.{kind}", p) for run, p in zip(runs, cells("", CP1, title), strict=True)]
        statement = "Mask and re-scaling raise accuracy" + (f" on {kind} questions" if kind != "overall" else "")
        found.append(claim(f"table-iii-{kind}", statement, "Table III, UpDn", *sides, data=CP1))
    agreed = zip(runs, cells("", CP1, table=KAPPA), strict=True)
    sides = [(run, "changing", "test.kappa.overall", p) for run, p in agreed]
    statement = "Mask and re-scaling raise the agreement between labels and predictions"
    where = "Table IV, UpDn, VQA-CP v1, All"
    return *found, claim("table-iv-kappa", statement, where, *sides, data=CP1, unit="kappa x 100")


def _diagnosis() -> tuple[Claim, ...]:
    """Sec. III: both assumptions, for each loss (the paper shows UpDn, whose loss is Sigm-BCE)."""
    claims = []
    for loss, title in (("bce", "Sigm-BCE"), ("ce", "Soft-CE")):

        def side(metric: str, loss: str = loss) -> tuple:
            return f"{loss} baseline", "changing", metric, None

        late = "history.-1."
        options = {"data": "VQA-CP v2 train", "page": "01_class_imbalance"}
        claims += [
            claim(f"assumption-1-{loss}", f"{title}: late in training, hard mistakes cost more than easy ones",
                   "Assumption 1, Table I, Fig. 2",
                   side(late + "mistakes.hard_paired"), side(late + "mistakes.easy_paired"), unit="loss", **options),
            claim(f"assumption-2-{loss}",
                   f"{title}: late in training, the question encoder's gradient is larger than the classifier's",
                   "Assumption 2, Fig. 3",
                   side(late + "grad_question"), side(late + "grad_classifier"), unit="gradient norm", **options),
            claim(f"assumption-2-growth-{loss}", f"{title}: the question encoder's gradient norm grows over training",
                   "Sec. III-A, Fig. 3",
                   side(late + "grad_question"), side("history.1.grad_question"), unit="gradient norm", **options),
            claim(f"assumption-2-decay-{loss}", f"{title}: the classifier's gradient norm falls over training",
                   "Sec. III-A, Fig. 3",
                   side("history.1.grad_classifier"), side(late + "grad_classifier"), unit="gradient norm", **options),
        ]  # fmt: skip
    return tuple(claims)


CLAIMS = (
    *_diagnosis(),
    *VISION_CLAIMS,
    claim("table-ii-cost", "Mask and re-scaling cost accuracy when priors stay the same", "Table II, UpDn, VQA v2 val",
          ("bce baseline", "same", "test.overall", 62.07), ("bce both", "same", "test.overall", 55.50), data=V2),
    *_per_answer_type(),
    *(found for loss in LOSSES for found in table_v("", loss)),
    *_as_released(),
    claim("ce-over-bce", "With mask and re-scaling, Soft-CE beats Sigm-BCE", "Table V, UpDn",
          ("ce both", "changing", "test.overall", 57.02), ("bce both", "changing", "test.overall", 47.09)),
    *BACKBONE_CLAIMS,
)  # fmt: skip
