"""Table 1's comparisons as a classifier study: linear heads on frozen features, and what practitioners ask next.

All are ours: no network learns. What is printed beside them is Table 1's, of trained networks.
"""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

from vqabook.report.claims import LONGER, Claim, Side

HEADS = "as a head on frozen features"
AT = 100  # the imbalance of what Table 1 lacks
LONGEST = 500  # an imbalance beyond Table 1's
NAMES = {
    "adjusted": "softmax whose logits are adjusted after training", "ldam @ drw": "LDAM-DRW",
    "balanced softmax @ drw": "balanced softmax with deferred re-weighting",
    "balanced softmax @ tau 1/2": "logit adjustment's loss at half the counts' power",
    "balanced softmax @ tau 2": "logit adjustment's loss at twice the counts' power",
    "vector scaling": "vector scaling", "tau-normalised": "softmax with normalised class vectors",
    "ncm": "the nearest class mean",
}  # fmt: skip
PLAIN, MINE, KNOWN = "softmax", "balanced softmax", "balanced softmax @ prior known"

Row = tuple[str, str, str, Side, Side]  # name, statement, where, more, less


def head_side(
    row: str,
    at: int,
    metric: str = "uniform",
    *,
    classes: int,
    printed: float | None = None,
    over: Side | None = None,
    longer: bool = False,
) -> Side:
    """A row of heads at an imbalance, or its gain over another: percent right under a prior, or calibration."""
    variant = f"heads at {at}" + LONGER * longer
    return Side({"variant": variant, "classes": classes}, f"rows.{row}.{metric}", printed, over)


def list_rows(classes: int, printed: dict[int, dict[str, float]], rivals: dict[str, str]) -> list[Row]:
    """The comparisons of one set. `printed`: imbalance -> row -> accuracy; `rivals`: row -> its name, all of Table 1's.

    That the gain grows from imbalance 100 to 200 among a hundred classes print itself does not say: no claim.
    """
    side = partial(head_side, classes=classes)

    def of_table(row: str, at: int, over: Side | None = None) -> Side:
        return side(row, at, printed=printed[at][row], over=over)

    rows: list[Row] = [
        (f"{at}-over-{row}", f"balanced softmax beats {name} at imbalance {at}", "Ours, Table 1", of_table(MINE, at),
         of_table(row, at))
        for at in printed
        for row, name in rivals.items()
    ]  # fmt: skip
    for high, low in pairwise(printed):
        if classes == 10 or low == min(printed):
            more, less = (of_table(MINE, at, of_table(PLAIN, at)) for at in (high, low))
            text = f"balanced softmax gains more over softmax at imbalance {high} than at {low}"
            rows.append((f"gain-{high}-{low}", text, "Ours, Table 1", more, less))
    ours = [
        (f"{LONGEST}-over-{PLAIN}", f"balanced softmax beats softmax at imbalance {LONGEST}", side(MINE, LONGEST),
         side(PLAIN, LONGEST)),
        *((f"over-{row}", f"balanced softmax beats {name}", side(MINE, AT), side(row, AT))
          for row, name in NAMES.items()),
        *_priors(side),
        *_calibration(side),
        *((f"longer-{row}", f"{row} is better trained twice as long", side(row, AT, longer=True), side(row, AT))
          for row in (PLAIN, MINE)),
    ]  # fmt: skip
    return rows + [(name, text, "Ours", more, less) for name, text, more, less in ours]


def _priors(side: partial) -> Sequence[tuple[str, str, Side, Side]]:
    """Where classes at test are not all alike: balanced softmax loses where they are as in training."""
    return [
        (name, f"{better} beats {worse} where classes at test are {how}", side(more, AT, prior), side(less, AT, prior))
        for name, better, worse, how, more, less, prior in (
            ("prior-training", "softmax", "balanced softmax", "as in training", PLAIN, MINE, "training"),
            ("prior-reversed", "balanced softmax", "softmax", "the other way round", MINE, PLAIN, "reversed"),
            ("prior-known", "softmax", "balanced softmax that is told the prior", "as in training", PLAIN, KNOWN,
             "training"),
        )
    ]  # fmt: skip


def _calibration(side: partial) -> Sequence[tuple[str, str, Side, Side]]:
    """Whose probabilities are further off."""
    names = {"nll": "negative log-likelihood", "ece": "calibration error"}
    return [
        (f"{metric}{end.replace('_', '-')}", f"{worse} has the higher {name} {where}", side(worse, AT, metric + end),
         side(better, AT, metric + end))
        for metric, name in names.items()
        for worse, better, end, where in (
            (PLAIN, MINE, "", "where classes at test are alike"),
            (MINE, PLAIN, "_training", "where classes at test are as in training"),
        )
    ]  # fmt: skip


def unit_of(side: Side) -> str:
    """What a side's numbers are in."""
    return "nats" if ".nll" in str(side.metric) else "points"


def list_heads_claims(
    printed: dict[tuple[int, int], dict[str, float]],
    rivals: dict[str, str],
    data: dict[int, str],
    *,
    page: str,
    paper: str,
) -> list[Claim]:
    """All of both sets. `printed`: (classes, imbalance) -> the column of Table 1; `data`: what print calls a set."""
    claims = []
    for classes, called in data.items():
        columns = {at: column for (k, at), column in printed.items() if k == classes}
        among = f"{HEADS}, " if classes == 10 else f"{HEADS}, among {classes} classes, "
        for name, text, where, more, less in list_rows(classes, columns, rivals):
            plain = "-".join(f"balanced-heads-{classes}-{name}".replace("@ ", "").replace("/", "-").split())
            claims.append(Claim(plain, among + text, where, more, less, page, paper, called, unit_of(more)))
    return claims
