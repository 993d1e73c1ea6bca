"""What Guo et al. 2021 (loss re-scaling), Sec. III-B, says of other tasks, as comparisons. Fig. 4 prints no numbers."""

from __future__ import annotations

from vqabook.report.claims import Claim, Side

PAPER = "Loss re-scaling (Guo et al. 2021)"
TITLES = {"cifar10": "Imbalanced CIFAR-10", "faces": "LFW, seven people", "digits": "Long-tailed digits"}
READ_ON = {"cifar10": ("held_out", "train"), "faces": ("held_out",), "digits": ("held_out",)}  # rows with mistakes
ROWS = {"held_out": "held-out rows", "train": "training rows"}


def _claim(
    dataset: str, rows: str, name: str, statement: str, where: str, more: tuple[str, str], less: tuple[str, str]
) -> Claim:
    """A claim between two (division, metric of the mistakes on these rows) sides."""
    sides = (
        Side({"part": "vision", "variant": f"{dataset} {division}"}, f"{rows}.mistakes.{metric}")
        for division, metric in (more, less)
    )
    title = f"{TITLES[dataset]}, {ROWS[rows]}: {statement}"
    name = f"vision-{dataset}-{name}-{rows}".replace("_", "-")
    return Claim(name, title, where, *sides, "01_class_imbalance", PAPER, TITLES[dataset], "loss")


def _of(dataset: str, rows: str) -> tuple[Claim, ...]:
    """Table I's reading of Sec. III-B, and that of the text on Fig. 4 against its control."""
    return (
        _claim(
            dataset, rows, "table-i", "frequent classes taken for sparse ones cost more than the reverse",
            "Sec. III-B, hard as in Table I", ("imbalanced", "hard_paired"), ("imbalanced", "easy_paired"),
        ),
        _claim(
            dataset, rows, "fig-4", "sparse classes taken for frequent ones cost more than with balanced classes",
            "Sec. III-B, hard as in the text on Fig. 4; control: balanced",
            ("imbalanced", "sparse_excess"), ("balanced", "sparse_excess"),
        ),
    )  # fmt: skip


VISION_CLAIMS = tuple(claim for dataset, some in READ_ON.items() for rows in some for claim in _of(dataset, rows))
