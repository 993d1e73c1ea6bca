"""What Ren et al. 2020 print, as comparisons: Table 1 and Fig. 1; what its theory says of the exponent; and ours."""

from __future__ import annotations

from vqabook.papers.balanced_activation.setting import TABLE
from vqabook.report.claims import Claim, Side

PAPER = "Balanced activation (Ren et al. 2020)"
PAGE = "06_balanced_activation"
RECORDED = {"profile": "real", "dataset": "cifar10"}  # the evidence that verdicts on real data come from
BESIDE = ("cifar100", "lvis_v1")  # other data sets whose runs verdicts on real data come from
FURTHER: tuple[str, ...] = ()  # data sets with verdicts of their own

DATA = {10: "CIFAR-10-LT", 100: "CIFAR-100-LT"}
IMBALANCES = (200, 100, 10)  # Table 1
SHOWN = 100  # the imbalance at which expectations are compared; Fig. 1 does not say its own
NAMES = {
    "softmax": "softmax", "cbw": "class-balanced weighting", "cbs": "class-balanced sampling", "focal": "focal loss",
    "class balance": "class-balanced loss", "ldam": "LDAM", "equalisation": "equalisation loss",
    "balanced softmax": "balanced softmax", "crt": "cRT", "lws": "LWS", "sigmoid": "sigmoid",
    "balanced sigmoid": "balanced sigmoid", "balanced sigmoid @ released": "balanced sigmoid, as released",
    "equalisation @ sigmoid": "equalisation loss, sigmoid", "ldam @ drw": "LDAM-DRW",
    "class balance @ focal": "class-balanced focal loss", "balanced softmax @ dealt counts": "counts of other classes",
    "repeat factor": "repeat-factor sampling", "repeat factor @ as long": "repeat-factor sampling, as long",
    "softmax @ anew": "softmax",
}  # fmt: skip
# (classes, imbalance) -> the column of Table 1, rows in its order: mean accuracy and its deviation
PRINTED: dict[tuple[int, int], dict[str, tuple[float, float]]] = {
    key: dict(zip(TABLE, column, strict=True))
    for key, column in {
        (10, 200): (
            (71.2, 0.3), (72.5, 0.2), (68.3, 0.3), (71.8, 2.1), (72.6, 1.8), (71.2, 0.3), (72.8, 0.2), (79.0, 0.8),
        ),
        (10, 100): (
            (77.4, 0.8), (78.6, 0.6), (77.8, 2.2), (77.1, 0.2), (78.2, 1.1), (77.2, 0.2), (76.7, 0.1), (83.1, 0.4),
        ),
        (10, 10): (
            (90.0, 0.2), (90.1, 0.2), (90.2, 0.2), (90.3, 0.2), (89.9, 0.3), (90.2, 0.3), (89.9, 0.3), (90.9, 0.4),
        ),
        (100, 200): (
            (41.0, 0.3), (36.7, 0.2), (37.8, 0.1), (40.2, 0.5), (39.9, 0.1), (41.0, 0.3), (43.3, 0.1), (45.9, 0.3),
        ),
        (100, 100): (
            (45.3, 0.3), (42.3, 0.8), (42.6, 0.4), (43.8, 0.1), (44.6, 0.4), (45.4, 0.1), (47.3, 0.1), (50.3, 0.3),
        ),
        (100, 10): (
            (61.9, 0.1), (61.4, 0.3), (61.2, 0.3), (60.0, 0.6), (59.8, 1.1), (62.0, 0.3), (59.7, 0.3), (63.1, 0.2),
        ),
    }.items()
}  # fmt: skip
# backbone -> rows of Table 2 on LVIS 1.0: AP of masks; of frequent, common, rare categories; AP of boxes
DETECTED: dict[str, dict[str, tuple[float, float, float, float, float]]] = {
    "resnet50": {
        "repeat factor": (22.1, 27.8, 21.1, 11.6, 23.6), "crt": (23.2, 27.8, 22.5, 14.7, 24.8),
        "lws": (23.3, 27.8, 22.5, 14.9, 24.8), "equalisation": (24.2, 27.5, 24.2, 16.5, 25.8),
        "balanced sigmoid": (25.1, 29.3, 24.0, 18.3, 26.7),
    },
    "resnet101": {
        "repeat factor": (23.2, 28.8, 22.0, 13.5, 24.7), "crt": (23.9, 28.7, 22.7, 15.8, 25.6),
        "lws": (24.2, 28.8, 23.1, 16.5, 24.7), "equalisation": (25.4, 28.8, 25.3, 18.5, 27.3),
        "balanced sigmoid": (26.4, 30.2, 25.4, 20.1, 28.4),
    },
}  # fmt: skip
DETECTED_METRICS = ("test.overall", "test.f", "test.c", "test.r", "box.overall")
MINE = "balanced softmax"
RIVALS = [row for row in TABLE if row != MINE]


def side(row: str, imbalance: int, metric: str = "test.overall", classes: int = 10) -> Side:
    """A row at an imbalance; its accuracy as printed."""
    printed = PRINTED.get((classes, imbalance), {}).get(row, (None,))[0] if metric == "test.overall" else None
    return Side({"variant": f"{row} at {imbalance}", "classes": classes}, metric, printed)


def detected(row: str, metric: str = "test.overall", *, over: str | None = None, backbone: str = "resnet18") -> Side:
    """A row of the detector, or its gain over another; what is printed is LVIS with ResNet-50."""
    values = DETECTED["resnet50"].get(row)
    printed = None if values is None else values[DETECTED_METRICS.index(metric)]
    base = None if over is None else detected(over, metric, backbone=backbone)
    return Side({"variant": f"{backbone} {row}"}, metric, printed, base)


def _claim(name: str, statement: str, where: str, more: Side, less: Side, data: str, unit: str = "points") -> Claim:
    name = f"balanced-{name}".translate({32: "-", 46: "-"}).replace("-@", "")
    return Claim(name, statement, where, more, less, PAGE, PAPER, data, unit)


def _printed(classes: int) -> list[Claim]:
    """Table 1: balanced softmax beats every rival at every imbalance, and the more, the more there is; Fig. 1."""
    found, data, among = [], DATA[classes], "" if classes == 10 else f"among {classes} classes "
    for at in IMBALANCES:
        for rival in RIVALS:
            sides = (side(row, at, classes=classes) for row in (MINE, rival))
            text = f"{among}balanced softmax beats {NAMES[rival]} at imbalance {at}"
            found.append(_claim(f"{classes}-{at}-over-{rival}", text, "Table 1", *sides, data))
    for more, less in zip(IMBALANCES[:-1], IMBALANCES[1:], strict=True):
        plain = {at: side("softmax", at, classes=classes) for at in (more, less)}
        own = {at: side(MINE, at, classes=classes) for at in (more, less)}
        gains = (Side(own[at].where, own[at].metric, own[at].printed, over=plain[at]) for at in (more, less))
        text = f"{among}balanced softmax gains more over softmax at imbalance {more} than at {less}"
        found.append(_claim(f"{classes}-gain-{more}-{less}", text, "Table 1", *gains, data))
    for rival in ("softmax", "equalisation"):
        sides = (side(row, SHOWN, "marginal.divergence", classes) for row in (rival, MINE))
        text = f"p(y) over the balanced test set is farther from uniform with {NAMES[rival]} than with balanced softmax"
        text = f"{among}{text} at {SHOWN}"
        found.append(_claim(f"{classes}-stable-{rival}", text, "Fig. 1", *sides, data, "nats"))
    return found


def _ours(at: int = SHOWN) -> list[Claim]:
    """What the paper says in passing, or leaves open."""
    data, found = DATA[10], []

    def add(name: str, text: str, where: str, more: Side, less: Side) -> None:
        found.append(_claim(name, f"{text} at imbalance {at}", where, more, less, data))

    mine = side(MINE, at)
    for x in ("0.25", "0.5", "1.5", "2"):
        where = "Sec. 3.2, Corollary 1" if x == "0.25" else "Ours, Corollary 1"
        other = side(f"{MINE} @ exponent {x}", at)
        add(f"exponent-1-over-{x}", f"counts to the power of 1 beat {x}", where, mine, other)
    for group, more, less in (("few", MINE, "softmax"), ("medium", MINE, "softmax"), ("many", "softmax", MINE)):
        sides = (side(row, at, f"test.{group}") for row in (more, less))
        text = f"{NAMES[more]} beats {NAMES[less]} on classes of {group} training rows"
        add(group, text, "Ours", *sides)
    adjusted = side("softmax", at, "adjusted.overall")
    add("over-adjusted", "balanced softmax beats softmax whose logits are adjusted at test", "Ours", mine, adjusted)
    for row in ("crt", "lws", "ldam @ drw", "class balance @ focal"):
        add(f"over-{row}", f"balanced softmax beats {NAMES[row]}", "Ours", mine, side(row, at))
    dealt = side(f"{MINE} @ dealt counts", at)
    add("over-dealt", "a class' own count beats those of other classes", "Ours, control", mine, dealt)
    plain = side("softmax", at)
    add("dealt", "softmax beats balanced softmax with other classes' counts", "Ours, control", plain, dealt)
    sigmoid, released = side("balanced sigmoid", at), side("balanced sigmoid @ released", at)
    add("sigmoid", "balanced sigmoid beats the sigmoid", "Ours, Eq. 46", sigmoid, side("sigmoid", at))
    add("sigmoid-offset", "the sigmoid's offset with log(k - 1) beats that without", "Ours, Eq. 44", sigmoid, released)
    return found


def _counts() -> list[Claim]:
    """Linear classifiers under a detector's counts: what Table 2 says of its rows, at the classifier."""

    def counted(row: str, metric: str) -> Side:
        return Side({"variant": f"counts {row}"}, metric)

    groups = {"rare": "r", "common": "c", "frequent": "f"}
    found = []
    for row in ("repeat factor", "crt", "lws", "equalisation @ sigmoid"):
        sides = (counted(one, "ap_top.overall") for one in ("balanced sigmoid", row))
        text = f"at the classifier, balanced sigmoid beats {NAMES[row]} in precision"
        found.append(_claim(f"counts-over-{row}", text, "Ours, Table 2", *sides, "LVIS 1.0"))
    for group, key in groups.items():
        sides = (counted(one, f"ap_top.{key}") for one in ("balanced sigmoid", "repeat factor"))
        text = f"at the classifier, balanced sigmoid beats repeat-factor sampling on {group} categories"
        found.append(_claim(f"counts-{group}", text, "Ours, Table 2", *sides, "LVIS 1.0"))
    gains = (
        Side({"variant": "counts balanced sigmoid"}, f"ap_top.{key}", over=counted("repeat factor", f"ap_top.{key}"))
        for key in ("r", "f")
    )
    text = "at the classifier, balanced sigmoid gains more on rare categories than on frequent ones"
    found.append(_claim("counts-gain", text, "Ours, Table 2", *gains, "LVIS 1.0"))
    sides = (counted(one, "ap.overall") for one in ("balanced sigmoid", "sigmoid"))
    text = "precision of all of a category's scores, whatever else scores higher, is better with balanced sigmoid"
    found.append(_claim("counts-all-scores", text, "Ours, Table 2", *sides, "LVIS 1.0"))
    sides = (counted(one, "ap_top.overall") for one in ("balanced sigmoid", "balanced sigmoid @ released"))
    text = "at the classifier, the offset of Eq. 44 beats the released one"
    found.append(_claim("counts-released", text, "Ours, Eq. 44", *sides, "LVIS 1.0"))
    return found


def _detection() -> list[Claim]:
    """Mask R-CNN on generated scenes: what Table 2 says of LVIS with ResNet-50, and what it leaves open."""
    mine, plain, found = "balanced sigmoid", "repeat factor", []

    def add(name: str, text: str, where: str, more: Side, less: Side) -> None:
        found.append(_claim(f"detector-{name}", f"in a detector, {text}", where, more, less, "LVIS 1.0, ResNet-50"))

    for row in (plain, "crt", "lws", "equalisation"):
        text = f"balanced sigmoid beats {NAMES[row]} in the precision of masks"
        add(f"over-{row}", text, "Table 2", detected(mine), detected(row))
    for group, key in {"rare": "r", "common": "c", "frequent": "f"}.items():
        sides = (detected(row, f"test.{key}") for row in (mine, plain))
        add(group, f"balanced sigmoid beats repeat-factor sampling on {group} categories", "Table 2", *sides)
    gains = (detected(mine, f"test.{key}", over=plain) for key in ("r", "f"))
    add("gain", "balanced sigmoid gains more on rare categories than on frequent ones", "Table 2", *gains)
    sides = (detected(row, "box.overall") for row in (mine, plain))
    add("boxes", "balanced sigmoid beats repeat-factor sampling in the precision of boxes", "Table 2", *sides)
    longer = f"{plain} @ as long"
    text = "balanced sigmoid beats repeat-factor sampling that trains as long"
    add("as-long", text, "Ours, control", detected(mine), detected(longer))
    text = "balanced sigmoid beats repeat-factor sampling that trains as long, on rare categories"
    add("rare-as-long", text, "Ours, control", detected(mine, "test.r"), detected(longer, "test.r"))
    add("over-softmax", "balanced sigmoid beats softmax", "Ours", detected(mine), detected("softmax @ anew"))
    return found


CLAIMS = (*_printed(10), *_printed(100), *_ours(), *_counts(), *_detection())
