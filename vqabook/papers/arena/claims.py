"""What the arena is asked: who leads softmax, where, and who does not. All are ours."""

from vqabook.papers.arena.recipes import NATURAL
from vqabook.papers.arena.setting import NAME
from vqabook.report.claims import Claim, Side

TITLE = "The arena (ours)"
PAGE = "07_arena"
PLAIN, MINE = "softmax", "balanced softmax"
SETS = {  # of a page -> what its claims are about
    "digits at 100": ("digits", "among digits"),
    "fraud at 500": ("fraud", "where one row of 500 is of the rare class"),
    "cifar10 at 100": ("cifar10", "on photographs of ten classes"),
    "cifar100 at 100": ("cifar100", "on photographs of a hundred classes"),
    "trec at 100": ("trec", "on questions"),
    f"lvis_v1 {NATURAL}": ("lvis", "at the counts of 1,203 categories"),
}
RIVALS = {  # of softmax, where all classes are alike at test
    MINE: "balanced softmax",
    "cbs": "class-balanced sampling",
    "focal": "focal loss",
    "adjusted": "a shift of the logits after training",
}


def _side(variant: str, row: str, prior: str) -> Side:
    return Side({"variant": variant}, f"rows.{prior}.{row}.wanted")


def _list_claims() -> list[Claim]:
    claims = []
    for variant, (name, where) in SETS.items():
        for row, title in RIVALS.items():
            claims.append(
                Claim(
                    "-".join([NAME, name, *row.split()]),
                    f"{title} beats softmax {where}, all classes alike at test",
                    "Ours",
                    _side(variant, row, "uniform"),
                    _side(variant, PLAIN, "uniform"),
                    PAGE,
                    TITLE,
                )
            )
        claims.append(
            Claim(
                f"{NAME}-{name}-prior-training",
                f"softmax beats balanced softmax {where}, classes at test as in training",
                "Ours",
                _side(variant, PLAIN, "training"),
                _side(variant, MINE, "training"),
                PAGE,
                TITLE,
            )
        )
    return claims


CLAIMS = tuple(_list_claims())
