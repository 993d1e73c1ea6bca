"""What Guo et al. 2021 (loss re-scaling) print, as comparisons: all claims of pages 01 and 02, and the tables' rows.

The numbers as printed and the claims on six backbones stand in the files beside this.
"""

from __future__ import annotations

from collections.abc import Iterator

from vqabook.papers.loss_rescaling.backbone_claims import (
    BACKBONE_CLAIMS,
    LOSSES,
    METRICS,
    TITLES,
    cells,
    compare,
    in_table_v,
    ours,
    run_of,
    table_v,
)
from vqabook.papers.loss_rescaling.printed import CP1, KAPPA, TITLE, V2
from vqabook.report.claims import Claim, Side

DIAGNOSIS = "01_class_imbalance"
ROWS = {  # rows of Tables II to IV -> their runs
    row: {"variant": run_of(backbone, "bce", module)}
    for backbone, title in TITLES.items()
    for row, module in ((f"{title} ‡", "baseline"), (f"{title}+Ours", ours(backbone)))
}
BACKBONE_OF = {f"{title}+Ours": f"{title} ‡" for title in TITLES.values()}  # what † compares a row with
IMAGE_SETS = {"cifar10": "Imbalanced CIFAR-10", "faces": "LFW, seven people", "digits": "Long-tailed digits"}
READ_ON = {"cifar10": ("held_out", "train"), "faces": ("held_out",), "digits": ("held_out",)}  # rows with mistakes
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


def _as_released() -> Iterator[Claim]:
    """The same comparisons by what the released code computes, and with weights from the first epoch on."""
    where = "Table V, UpDn, not by the equations"
    for statement, run, how in (
        ("As released, Sigm-BCE: both beats baseline", "bce both", "release"),
        ("As released, Sigm-BCE: re-scaling beats baseline", "bce re-scaling", "release"),
        ("Weighted from the first epoch, Soft-CE: re-scaling beats baseline", "ce re-scaling", "from the start"),
    ):
        baseline = f"{run.split(' ')[0]} baseline"
        name = f"{run} {how}".replace(" ", "-")
        yield compare(name, statement, where, (f"{run} @ {how}", baseline), in_table_v(run, baseline))
    for backbone in ("css", "lxmert"):  # LM, LMH: the release weighs both terms, as Eq. 11
        title, (run, baseline) = TITLES[backbone], (run_of(backbone, "bce", m) for m in ("re-scaling", "baseline"))
        yield compare(
            f"{backbone}-bce-re-scaling-positive-term",
            f"{title}, weights on the positive term of Sigm-BCE alone: re-scaling beats baseline",
            f"Table V, {title}, not by the equations",
            (f"{run} @ positive term only", baseline),
            in_table_v(run, baseline),
        )


def _per_answer_type() -> Iterator[Claim]:
    """Table III (VQA-CP v1, of which our real data is a part), UpDn against UpDn + ours; and kappa, Table IV."""
    runs = ("bce both", "bce baseline")
    for title, kind in METRICS.items():
        statement = "Mask and re-scaling raise accuracy" + (f" on {kind} questions" if kind != "overall" else "")
        printed = cells("", CP1, title)
        yield compare(f"table-iii-{kind}", statement, "Table III, UpDn", runs, printed, metric=kind, data=CP1)
    statement, where = (
        "Mask and re-scaling raise the agreement between labels and predictions",
        "Table IV, UpDn, VQA-CP v1, All",
    )
    how = {"metric": "kappa.overall", "data": CP1, "unit": "kappa x 100"}
    yield compare("table-iv-kappa", statement, where, runs, cells("", CP1, table=KAPPA), **how)


def _diagnosis() -> Iterator[Claim]:
    """Sec. III: both assumptions, for each loss (the paper shows UpDn, whose loss is Sigm-BCE)."""
    late = "history.-1."
    rows = (  # name, statement, where, more, less, unit
        ("1", "late in training, hard mistakes cost more than easy ones", "Assumption 1, Table I, Fig. 2",
         f"{late}mistakes.hard_paired", f"{late}mistakes.easy_paired", "loss"),
        ("2", "late in training, the question encoder's gradient is larger than the classifier's",
         "Assumption 2, Fig. 3", f"{late}grad_question", f"{late}grad_classifier", "gradient norm"),
        ("2-growth", "the question encoder's gradient norm grows over training", "Sec. III-A, Fig. 3",
         f"{late}grad_question", "history.1.grad_question", "gradient norm"),
        ("2-decay", "the classifier's gradient norm falls over training", "Sec. III-A, Fig. 3",
         "history.1.grad_classifier", f"{late}grad_classifier", "gradient norm"),
    )  # fmt: skip
    for loss, title in LOSSES.items():
        runs = {"variant": f"{loss} baseline", "prior": "changing"}
        for name, statement, where, more, less, unit in rows:
            sides, data = (Side(runs, more), Side(runs, less)), "VQA-CP v2 train"
            yield Claim(
                f"assumption-{name}-{loss}", f"{title}: {statement}", where, *sides, DIAGNOSIS, TITLE, data, unit
            )


def _other_tasks() -> Iterator[Claim]:
    """Table I's reading of Sec. III-B, and that of the text on Fig. 4 against its control. Fig. 4 has no numbers."""
    rows = (  # name, statement, where, more, less: the division and the metric of its mistakes
        ("table-i", "frequent classes taken for sparse ones cost more than the reverse",
         "Sec. III-B, hard as in Table I", ("imbalanced", "hard_paired"), ("imbalanced", "easy_paired")),
        ("fig-4", "sparse classes taken for frequent ones cost more than with balanced classes",
         "Sec. III-B, hard as in the text on Fig. 4; control: balanced",
         ("imbalanced", "sparse_excess"), ("balanced", "sparse_excess")),
    )  # fmt: skip
    named = {"held_out": "held-out rows", "train": "training rows"}
    for dataset, part in ((dataset, part) for dataset, parts in READ_ON.items() for part in parts):
        for name, statement, where, *compared in rows:
            sides = (
                Side({"part": "vision", "variant": f"{dataset} {division}"}, f"{part}.mistakes.{metric}")
                for division, metric in compared
            )
            title, name = IMAGE_SETS[dataset], f"vision-{dataset}-{name}-{part}".replace("_", "-")
            statement = f"{title}, {named[part]}: {statement}"
            yield Claim(name, statement, where, *sides, DIAGNOSIS, TITLE, title, "loss")


CLAIMS = (
    *_diagnosis(),
    *_other_tasks(),
    compare("table-ii-cost", "Mask and re-scaling cost accuracy when priors stay the same",
            "Table II, UpDn, VQA v2 val", ("bce baseline", "bce both"), (62.07, 55.50), prior="same", data=V2),
    *_per_answer_type(),
    *(claim for loss in LOSSES for claim in table_v("", loss)),
    *_as_released(),
    compare("ce-over-bce", "With mask and re-scaling, Soft-CE beats Sigm-BCE", "Table V, UpDn",
            ("ce both", "bce both"), (57.02, 47.09)),
    *BACKBONE_CLAIMS,
)  # fmt: skip
