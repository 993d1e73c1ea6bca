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
    "ldam @ drw": "LDAM-DRW",
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
                    "-".join([NAME, name, *row.replace("@ ", "").split()]),
                    f"{title} beats softmax {where}, all classes alike at test",
                    "Ours",
                    _side(variant, row, "uniform"),
                    _side(variant, PLAIN, "uniform"),
                    PAGE,
                    TITLE,
                )
            )
        claims += [
            Claim(f"{NAME}-{name}-{of}", f"{more} beats {less} {where}, {classes}", "Ours", *sides, PAGE, TITLE)
            for of, more, less, classes, sides in _list_duels(variant)
        ]
    return claims


def _list_duels(variant: str) -> list[tuple[str, str, str, str, tuple[Side, Side]]]:
    """(name, one rule, the other, how frequent classes are at test, both sides)."""
    cbs, mine = (_side(variant, row, "uniform") for row in ("cbs", MINE))
    natural = tuple(_side(variant, row, "training") for row in (PLAIN, MINE))
    return [
        ("over-cbs", MINE, RIVALS["cbs"], "all classes alike at test", (mine, cbs)),
        ("prior-training", PLAIN, MINE, "classes at test as in training", (natural[0], natural[1])),
    ]


CLAIMS = tuple(_list_claims())
