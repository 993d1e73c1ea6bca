"""What Ren et al. 2020 print, as comparisons: Table 1 and Fig. 1; what its theory says of the exponent; and ours."""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise

from vqabook.papers.balanced_activation.head_claims import list_heads_claims
from vqabook.papers.balanced_activation.printed import DETECTED, LONGER, PRINTED
from vqabook.papers.balanced_activation.setting import AS_LONG, HALVED, IN_BF16, TABLE, name_full
from vqabook.report.claims import Claim, Side, mark_headlines

TITLE = "Balanced activation (Ren et al. 2020)"
PAGE = "06_balanced_activation"

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
    "softmax @ anew": "softmax", "softmax @ as long": "softmax, as long",
    "balanced softmax @ as long": "balanced softmax, as long",
    "balanced meta-softmax": "balanced meta-softmax",
}  # fmt: skip
CONTRADICTIONS = (  # where, what the paper prints there
    ("Theorem 1 and Corollary 1", "the theorem and Eq. 14 have counts to the power of 1; the corollary's margins make "
     "it 1/4, and the text then takes 1, which is empirically best."),
    ("Eqs. 27 and 28", "Eq. 27 adds a class' margin to its loss, which takes the margin from its logit; Eq. 28 takes "
     "the margin's logarithm from it. Only the logarithm makes counts of margins."),
    ("Table 1 and its caption", "the method is ahead 'especially when the imbalance factor is high'; among 100 classes "
     "it is 4.9 points ahead of softmax at 200 and 5.0 at 100."),
    ("Eqs. 42-44", "the quotient leaves out the other classes, as though they were mixed alike in training and at "
     "test: the sigmoid's offset is right for two classes, or for others that are equally frequent."),
    ("Eqs. 36-37 and 48", "Eq. 48 prints the term of the true class alone; Eqs. 36-37 have both terms."),
    ("Eq. 44 and its release", "the released code drops log(k − 1), and counts images that show a class."),
)  # fmt: skip
MINE, META, DEALT = "balanced softmax", "balanced meta-softmax", "balanced softmax @ dealt counts"
IN_PRINT = ("ResNet-50", "val")  # the part of Table 2 that detectors are compared with
BEST, PLAIN = "balanced sigmoid", "repeat factor"  # of Table 2
GROUPS = {"rare": "r", "common": "c", "frequent": "f"}
RIVALS = [row for row in TABLE if row != MINE]


def image_side(row: str, at: int, metric: str = "test.overall", *, classes: int = 10, over: str | None = None) -> Side:
    """A row at an imbalance, or its gain over another; its accuracy as printed."""
    in_print = PRINTED.get((classes, at), {}) | LONGER.get((classes, at), {})
    printed = in_print.get(row) if metric == "test.overall" else None
    base = image_side(over, at, metric, classes=classes) if over else None
    return Side({"variant": f"{row} at {at}", "classes": classes}, metric, printed, base)


def full_side(row: str, metric: str = "test.overall") -> Side:
    """A row by a network of full size, at the imbalance that is shown; its accuracy as printed."""
    printed = PRINTED[10, SHOWN].get(row) if metric == "test.overall" else None
    return Side({"variant": name_full(row, SHOWN), "classes": 10}, metric, printed)


def region_side(study: str, row: str, metric: str, *, over: str | None = None) -> Side:
    """A row of Table 2, or its gain over another. `study`: "counts", of linear classifiers, or "detector"; what is
    printed is LVIS with ResNet-50.
    """
    base = region_side(study, over, metric) if over else None
    return Side({"variant": f"{study} {row}"}, metric, DETECTED[IN_PRINT].get(row, {}).get(metric), base)


def _claim(name: str, statement: str, where: str, more: Side, less: Side, data: str) -> Claim:
    name = f"balanced-{name}".translate({32: "-", 46: "-"}).replace("-@", "")
    unit = "nats" if more.metric == "marginal.divergence" else "points"
    rows = [dict(side.where) for side in (more, less) if "classes" in side.where]
    rows += [row | {"variant": re.sub("^(full )?.* at ", r"\1softmax at ", str(row["variant"]))} for row in rows]
    learners = tuple(row for i, row in enumerate(rows) if row not in rows[:i])
    return Claim(name, statement, where, more, less, PAGE, TITLE, data, unit, learners=learners)


def _print_refutes(more: Side, less: Side) -> bool:
    """Whether the paper's own numbers say the contrary, as of the gain among 100 classes at 200 and at 100."""
    return more.in_print is not None and less.in_print is not None and more.in_print < less.in_print


Row = tuple[str, str, str, Side, Side]  # name, statement, where, more, less


def _table_1(classes: int) -> list[Claim]:
    """Balanced softmax beats every rival at every imbalance, and the more, the more there is; Fig. 1; BALMS."""
    among, side = "" if classes == 10 else f"among {classes} classes ", partial(image_side, classes=classes)
    rows: list[Row] = []
    for at in IMBALANCES:
        for rival in RIVALS:
            text = f"balanced softmax beats {NAMES[rival]} at imbalance {at}"
            rows.append((f"{at}-over-{rival}", text, "Table 1", side(MINE, at), side(rival, at)))
    for high, low in pairwise(IMBALANCES):
        more, less = (side(MINE, at, over="softmax") for at in (high, low))
        if _print_refutes(more, less):
            continue
        text = f"balanced softmax gains more over softmax at imbalance {high} than at {low}"
        rows.append((f"gain-{high}-{low}", text, "Table 1", more, less))
    for rival in ("softmax", "equalisation"):
        more, less = (side(row, SHOWN, "marginal.divergence") for row in (rival, MINE))
        text = f"p(y) over the balanced test set is farther from uniform with {NAMES[rival]} than with balanced softmax"
        rows.append((f"stable-{rival}", f"{text} at {SHOWN}", "Fig. 1", more, less))
    for rival in ("softmax", MINE, "crt"):
        text = f"{META} beats {NAMES[rival]} at imbalance {SHOWN}"
        rows.append((f"meta-over-{rival}", text, "Longer paper, Table 2", side(META, SHOWN), side(rival, SHOWN)))
    return [
        _claim(f"{classes}-{name}", f"{among}{text}", where, more, less, DATA[classes])
        for name, text, where, more, less in rows
    ]


def _ours() -> list[Claim]:
    """What the paper says in passing, or leaves open."""
    side = partial(image_side, at=SHOWN)
    mine, dealt, sigmoid = side(MINE), side(DEALT), side("balanced sigmoid")
    adjusted = side("softmax", metric="adjusted.overall")  # the shift that balanced softmax makes, made after training
    rows: list[Row] = [
        (f"exponent-1-over-{x}", f"counts to the power of 1 beat {x}",
         "Sec. 3.2, Corollary 1" if x == "0.25" else "Ours, Corollary 1", mine, side(f"{MINE} @ exponent {x}"))
        for x in ("0.25", "0.5", "1.5", "2")
    ]  # fmt: skip
    for group, *better in (("few", MINE, "softmax"), ("medium", MINE, "softmax"), ("many", "softmax", MINE)):
        text = "{} beats {} on classes of {} training rows".format(*(NAMES[row] for row in better), group)
        more, less = (side(row, metric=f"test.{group}") for row in better)
        rows.append((group, text, "Ours", more, less))
    first = "test.per_class.0"
    rows += [
        ("first", "softmax beats balanced softmax on the most frequent class", "Ours", side("softmax", metric=first),
         side(MINE, metric=first)),
        ("over-adjusted", "balanced softmax beats softmax whose logits are adjusted at test", "Ours", mine, adjusted),
        ("adjusted", "softmax whose logits are adjusted at test beats softmax", "Ours", adjusted, side("softmax")),
        ("adjusted-over-ldam @ drw", "softmax whose logits are adjusted at test beats LDAM-DRW", "Ours", adjusted,
         side("ldam @ drw")),
        *((f"over-{row}", f"balanced softmax beats {NAMES[row]}", "Ours", mine, side(row))
          for row in ("ldam @ drw", "class balance @ focal")),
        *_against_stages(),
        *_against_samplers(),
        *((f"gap-{group}", f"from training to test softmax loses more on classes of {group} training rows than of many",
           "Sec. 3.2", _gap(group), _gap("many")) for group in ("few", "medium")),
        ("over-dealt", "a class' own count beats those of other classes", "Ours, control", mine, dealt),
        ("dealt", "softmax beats balanced softmax with other classes' counts", "Ours, control", side("softmax"),
         dealt),
        *((f"bf16-{row}", f"{NAMES[row]} in single precision beats the same in bf16", "Ours, control", side(row),
           side(f"{row}{IN_BF16}")) for row in HALVED),
        ("sigmoid", "balanced sigmoid beats the sigmoid", "Ours, Eq. 46", sigmoid, side("sigmoid")),
        ("sigmoid-offset", "the sigmoid's offset with log(k − 1) beats that without", "Ours, Eq. 44", sigmoid,
         side("balanced sigmoid @ released")),
    ]  # fmt: skip
    return [
        _claim(name, f"{text} at imbalance {SHOWN}", where, more, less, DATA[10])
        for name, text, where, more, less in rows
    ]


def _gap(group: str) -> Side:
    """What softmax loses from its training rows to test, over a group of classes."""
    learnt, tested = (image_side("softmax", SHOWN, f"{rows}.{group}") for rows in ("train", "test"))
    return replace(learnt, over=tested)


def _against_stages() -> list[Row]:
    """cRT and LWS, whose two stages have more steps than a row of Table 1, against rows that train as long."""
    side = partial(image_side, at=SHOWN)
    longer, mine = (side(f"{row}{AS_LONG}") for row in ("softmax", MINE))
    adjusted = side(f"softmax{AS_LONG}", metric="adjusted.overall")
    rows = [("as-long", "softmax that trains as long as cRT beats softmax", longer, side("softmax"))]
    for row in ("crt", "lws"):
        rival, name = side(row), NAMES[row]
        rows += [
            (row, f"{name} beats softmax that trains as long", rival, longer),
            (f"over-{row}", f"balanced softmax that trains as long beats {name}", mine, rival),
            (f"adjusted-over-{row}", f"softmax that trains as long, logits adjusted at test, beats {name}", adjusted,
             rival),
        ]  # fmt: skip
    return [(name, text, "Ours", more, less) for name, text, more, less in rows]


def _against_samplers() -> list[Row]:
    """What the meta sampler adds to a second stage of balanced softmax; whether it draws rare classes more often."""
    side = partial(image_side, at=SHOWN)
    meta, again, longer = side(META), side(f"{MINE} @ second stage"), side(f"{MINE}{AS_LONG}")
    rare, first = (side(META, metric=f"rates.{name}") for name in ("rarest", "first"))
    return [
        ("meta-over-second-stage", "a second stage with the meta sampler beats one with rows as they come",
         "Ours, control", meta, again),
        ("meta-over-evenly", "a second stage with the meta sampler beats one with classes drawn evenly",
         "Ours, control", meta, side(f"{MINE} @ second stage, evenly")),
        ("meta-as-long", f"{META} beats {MINE} that trains as long", "Ours", meta, longer),
        ("second-stage", f"a second stage of {MINE} beats {MINE} that trains as long", "Ours", again, longer),
        ("meta-rare", "the meta sampler draws a row of the rarest class more often than one of the most frequent",
         "Ours", rare, first),
    ]  # fmt: skip


def _full() -> list[Claim]:
    """What networks of full size say that have learnt their training rows, of rules that the short ones rank."""
    mine, plain, adjusted = full_side(MINE), full_side("softmax"), full_side("softmax", "adjusted.overall")
    first, medium, divergence, dealt = "test.per_class.0", "test.medium", "marginal.divergence", full_side(DEALT)
    rows: list[Row] = []
    for row in (*RIVALS, "crt", "lws", "ldam @ drw"):
        at, rival = "Table 1" if row in TABLE else "Ours", full_side(row)
        rows.append((f"over-{row}", f"balanced softmax beats {NAMES[row]}", at, mine, rival))
        if row != "softmax":
            sides = [(NAMES[row], rival), ("softmax", plain)]
            (better, more), (worse, less) = reversed(sides) if _print_refutes(rival, plain) else sides
            rows.append((row, f"{better} beats {worse}", at, more, less))
    rows += [
        ("adjusted", "softmax whose logits are adjusted at test beats softmax", "Ours", adjusted, plain),
        ("over-adjusted", "balanced softmax beats softmax whose logits are adjusted at test", "Ours", mine, adjusted),
        *((f"adjusted-over-{row}", f"softmax whose logits are adjusted at test beats {NAMES[row]}", "Ours", adjusted,
           full_side(row)) for row in ("ldam @ drw", "crt", "lws")),
        ("medium", "balanced softmax beats softmax on classes of medium training rows", "Ours", full_side(MINE, medium),
         full_side("softmax", medium)),
        ("first", "softmax beats balanced softmax on the most frequent class", "Ours", full_side("softmax", first),
         full_side(MINE, first)),
        ("over-dealt", "a class' own count beats those of other classes", "Ours, control", mine, dealt),
        ("dealt", "softmax beats balanced softmax with other classes' counts", "Ours, control", plain, dealt),
    ]  # fmt: skip
    for name, row in (("stable", "softmax"), ("stable-equalisation", "equalisation")):
        text = f"p(y) over the balanced test set is farther from uniform with {NAMES[row]} than with {MINE}"
        rows.append((name, text, "Fig. 1", full_side(row, divergence), full_side(MINE, divergence)))
    return [
        _claim(f"full-{name}", f"at full size, {text} at imbalance {SHOWN}", where, more, less, DATA[10])
        for name, text, where, more, less in rows
    ]


def _table_2(study: str, at: str, rivals: Sequence[str], metric: str, precision: str, where: str) -> list[Row]:
    """What Table 2 says: balanced sigmoid over its rivals, by frequency, and where it gains more."""
    pairs = [(f"over-{row}", f"beats {NAMES[row]} in {precision}", "overall", row) for row in rivals]
    pairs += [(name, f"beats repeat-factor sampling on {name} categories", key, PLAIN) for name, key in GROUPS.items()]
    rows = [
        (name, text, region_side(study, BEST, f"{metric}.{key}"), region_side(study, rival, f"{metric}.{key}"))
        for name, text, key, rival in pairs
    ]
    rare, frequent = (region_side(study, BEST, f"{metric}.{key}", over=PLAIN) for key in "rf")
    rows.append(("gain", "gains more on rare categories than on frequent ones", rare, frequent))
    return [(name, f"{at}, balanced sigmoid {text}", where, more, less) for name, text, more, less in rows]


def _counts() -> list[Claim]:
    """Linear classifiers under a detector's counts: what Table 2 says of its rows, at the classifier."""
    side, rivals = partial(region_side, "counts"), (PLAIN, "crt", "lws", "equalisation @ sigmoid")
    rows = _table_2("counts", "at the classifier", rivals, "ap_top", "precision", "Ours, Table 2")
    rows += [
        ("all-scores",
         "precision of all of a category's scores, whatever else scores higher, is better with balanced sigmoid",
         "Ours, Table 2", side(BEST, "ap.overall"), side("sigmoid", "ap.overall")),
        ("released", "at the classifier, the offset of Eq. 44 beats the released one", "Ours, Eq. 44",
         side(BEST, "ap_top.overall"), side(f"{BEST} @ released", "ap_top.overall")),
    ]  # fmt: skip
    return [_claim(f"counts-{name}", text, where, more, less, "LVIS 1.0") for name, text, where, more, less in rows]


def _detection() -> list[Claim]:
    """Mask R-CNN, embedded on generated scenes: what Table 2 says of LVIS with ResNet-50, and what it leaves open."""
    study, at, longer = "detector", "in a detector", f"{PLAIN} @ as long"
    rivals = (PLAIN, "crt", "lws", "equalisation")
    rows = _table_2(study, at, rivals, "test", "the precision of masks", "Table 2")
    rows += [
        (name, f"{at}, balanced sigmoid beats {text}", where, region_side(study, BEST, metric),
         region_side(study, rival, metric))
        for name, text, where, metric, rival in (
            ("boxes", "repeat-factor sampling in the precision of boxes", "Table 2", "box.overall", PLAIN),
            ("as-long", "repeat-factor sampling that trains as long", "Ours, control", "test.overall", longer),
            ("rare-as-long", "repeat-factor sampling that trains as long, on rare categories", "Ours, control",
             "test.r", longer),
            ("over-softmax", "softmax", "Ours", "test.overall", "softmax @ anew"),
        )
    ]  # fmt: skip
    data = "LVIS 1.0, ResNet-50"
    return [_claim(f"detector-{name}", text, where, more, less, data) for name, text, where, more, less in rows]


HEADLINES = (
    "balanced-full-over-softmax", "balanced-full-over-equalisation", "balanced-10-gain-100-10",
    "balanced-100-100-over-softmax", "balanced-detector-over-equalisation", "balanced-detector-rare",
)  # fmt: skip
ON_FEATURES = list_heads_claims(PRINTED, {row: NAMES[row] for row in RIVALS}, DATA, page=PAGE, paper=TITLE)
ON_IMAGES = (*_table_1(10), *_table_1(100), *_ours(), *_full())
CLAIMS = mark_headlines((*ON_IMAGES, *_counts(), *_detection(), *ON_FEATURES), HEADLINES)
