"""What Patro et al. 2021 (attention supervision) print, as comparisons: Tables 1-4, Figs. 3, 6 and 7; and ours."""

from collections.abc import Iterator

from vqabook.papers.attention_supervision.setting import LOSSES, TASKS
from vqabook.report.claims import Claim, Side, mark_headlines

TITLE = "Attention supervision (Patro et al. 2021)"
PAGE = "04_attention_supervision"

DATA = {"text": "TREC-6", "image": "CIFAR-10", "vqa": "VQA v1", "human": "VQA-HAT"}
TABLE_1 = {"baseline": 81.20, "coral": 81.89, "mse": 82.33, "mmd": 84.80, "adv": 84.91}
TABLE_2 = {"baseline": 69.59, "coral": 69.83, "mse": 69.87, "mmd": 70.80, "adv": 71.12}
TABLE_3 = {  # rank correlation, earth mover's distance; our records have both x 100
    "baseline": (0.08, 0.421), "question coral": (0.09, 0.393), "question mse": (0.10, 0.387),
    "question mmd": (0.12, 0.381), "question adv": (0.13, 0.370), "image coral": (0.10, 0.381),
    "image mse": (0.11, 0.372), "image mmd": (0.13, 0.369), "image adv": (0.15, 0.350), "both adv": (0.15, 0.352),
}  # fmt: skip
TABLE_4 = {  # All, Y/N, Num, Other
    "baseline": (58.08, 76.7, 35.2, 44.2), "question coral": (58.17, 76.03, 36.3, 45.2),
    "question mse": (58.85, 76.8, 36.9, 45.6), "question mmd": (59.29, 77.0, 37.04, 46.0),
    "question adv": (60.11, 77.5, 37.5, 46.7), "image coral": (59.23, 76.2, 36.6, 45.1),
    "image mse": (60.42, 77.07, 37.21, 45.7), "image mmd": (61.02, 77.9, 37.6, 46.2),
    "image adv": (61.76, 78.3, 38.2, 47.0), "both adv": (61.92, 78.6, 38.3, 47.2),
}  # fmt: skip
KINDS = ("overall", "yes/no", "number", "other")
OF = {"question": "attention to words", "image": "attention to regions", "both": "both attentions"}
RIGHT = "image mse @ relevant regions"
CONTRADICTIONS = (  # where, what the paper prints there
    ("Table 4, All", "from question coral to image coral the types move by +0.2, +0.3 and -0.1, All by +1.1: no "
     "mixture of types does that."),
    ("Eq. 3", "the attention stands where a discriminator's true example stands, and D(g/x) is given the question."),
    ("Eqs. 4-6 and their release", "CORAL's constant is 1/4, without the squared size of Deep CORAL; MMD is between "
     "sets, and the released code, on batches of one example, computes it map by map."),
)  # fmt: skip
UNTESTED = (  # where, what the text says, why no claim of ours tests it
    ("Sec. 4.4", "the score for the ground truth increased significantly from 100 to 500 masks",
     "the best of more masks is never worse; what can fail is that 500 find nearly all, which a claim tests"),
    ("Table 4", "All", "no mixture of the printed types makes it; claims compare it without a printed value"),
    ("Sec. 4.5", "in some cases two words outperform the whole question", "one case is enough; the page says how many"),
    ("Sec. 5", "improved attention indeed results in improved results", "Tables 3 and 4, which claims test"),
    ("Figs. 8-9", "attention maps of single examples", "pictures; the page shows them over ours"),
)  # fmt: skip

TITLES = {str(loss): title for loss, title in LOSSES.items()}


def claim(name: str, statement: str, where: str, more: tuple, less: tuple, *, data: str, unit: str = "points") -> Claim:
    """A claim between two (task, row, metric, printed value) sides."""
    first, second = (
        Side({"variant": f"{task} {row}", "prior": "same" if task == "vqa" else "none"}, metric, printed)
        for task, row, metric, printed in (more, less)
    )
    rows, metrics = {more[1], less[1]}, {more[2], less[2]}
    needs: tuple[str, ...] = ("human maps",) if any(".human." in metric for metric in metrics) else ()
    needs += ("relevant regions",) if RIGHT in rows else ()
    return Claim(
        f"attention-{name}", statement, where, first, second, PAGE, TITLE, DATA[data], unit, needs=needs, selects=True
    )


def _accuracy(task: str, row: str, kind: str = "overall") -> tuple:
    if task == "vqa":
        printed = TABLE_4[row][KINDS.index(kind)] if row in TABLE_4 and kind != "overall" else None
    else:
        printed = {"text": TABLE_1, "image": TABLE_2}[task].get(row)
    return task, row, f"test.{kind}", printed


def _beats(task: str, more: str, less: str, statement: str, where: str, kind: str = "overall") -> Claim:
    name = f"{task}-{more}-over-{less}" + ("" if kind == "overall" else f"-{kind}")
    sides = (_accuracy(task, row, kind) for row in (more, less))
    return claim(name.translate({32: "-", 47: "-"}).replace("-@", ""), statement, where, *sides, data=task)


def _tables_1_and_2() -> Iterator[Claim]:
    """Supervision helps, with each loss; the adversarial one most."""
    for task, table in (("text", 1), ("image", 2)):
        for loss, title in LOSSES.items():
            statement = f"{TASKS[task].capitalize()}: supervision with {title} loss beats the baseline"
            yield _beats(task, loss, "baseline", statement, f"Table {table}, {title}")
        for loss in ("coral", "mse", "mmd"):
            statement = f"{TASKS[task].capitalize()}: the adversarial loss beats {TITLES[loss]}"
            yield _beats(task, "adv", loss, statement, f"Table {table}, Adv against {LOSSES[loss]}")


def _table_4() -> Iterator[Claim]:
    for row in list(TABLE_4)[1:]:
        head, loss = row.split()
        for kind, title in zip(KINDS, ("All", "Y/N", "Num", "Other"), strict=True):
            on = "" if kind == "overall" else f" on {kind} questions"
            statement = f"VQA: supervising {OF[head]} with {TITLES[loss]} loss beats the baseline{on}"
            yield _beats("vqa", row, "baseline", statement, f"Table 4, {row}, {title}", kind)
    for head in ("question", "image"):
        for loss in ("coral", "mse", "mmd"):
            statement = f"VQA, {OF[head]}: the adversarial loss beats {TITLES[loss]}"
            yield _beats("vqa", f"{head} adv", f"{head} {loss}", statement, f"Table 4, {head} adv, All")
    orders = (
        ("image adv", "question adv", "VQA: supervising attention to regions helps more than that to words"),
        ("both adv", "image adv", "VQA: supervising both attentions helps more than that to regions alone"),
    )
    for more, less, statement in orders:
        yield _beats("vqa", more, less, statement, f"Table 4, {more}, All")


def _table_3() -> Iterator[Claim]:
    """Attention moves to where people look."""
    for row in list(TABLE_3)[1:]:
        head, loss = row.split()
        who = f"Supervising {OF[head]} with {TITLES[loss]} loss"
        for i, (short, metric, text, order) in enumerate((
            ("rc", "rank_correlation", "a higher rank correlation with", (row, "baseline")),
            ("emd", "emd", "a smaller earth mover's distance from", ("baseline", row)),
        )):  # fmt: skip
            sides = [("vqa", name, f"test.human.{metric}", 100 * TABLE_3[name][i]) for name in order]
            name, where = f"human-{row.replace(' ', '-')}-{short}", f"Table 3, {row}, {short.upper()}"
            yield claim(name, f"{who}: {text} where people look", where, *sides, data="human", unit="x 100")


def _masks() -> Iterator[Claim]:
    """The singular map (Sec. 3.1), how many masks (Sec. 4.4), what they find (Fig. 3), words alone (Sec. 4.5)."""
    for task, head in (("text", ""), ("image", ""), ("vqa", "image ")):
        for loss in ("mse", "adv"):
            row = f"{head}{loss}"
            statement = f"{TASKS[task].capitalize()}, {LOSSES[loss]}: the best mask's map beats the mean of all maps"
            yield _beats(task, row, f"{row} @ weighted maps", statement, "Sec. 3.1")
    for task in ("image", "vqa"):
        sides = [(task, "probe", f"masks.{name}", None) for name in ("share_500", "enough")]
        statement = f"{TASKS[task].capitalize()}: 500 masks find 95 % of what 1,000 find, or more"
        yield claim(f"{task}-500-masks", statement, "Sec. 4.4, Fig. 7", *sides, data=task, unit="% of the gain")
    for more, less, n, fewer in (("mse", "mse @ 100 masks", "500", "100"), ("mse @ 1000 masks", "mse", "1,000", "500")):
        statement = f"Image classification, MSE: supervision by {n} masks beat supervision by {fewer}"
        yield _beats("image", more, less, statement, "Sec. 4.4")
    for task in ("text", "vqa"):
        sides = [(task, "probe", f"words.2.{share}", None) for share in ("close", "further")]
        statement = f"{TASKS[task].capitalize()}: in most cases the best two words come close to the whole text"
        yield claim(f"{task}-two-words", statement, "Sec. 4.5, Fig. 6", *sides, data=task)
    measures = (
        ("rank_correlation", "rank correlation", ("best", "own")),
        ("emd", "earth mover's distance", ("own", "best")),
    )
    for measure, title, order in measures:
        sides = [("vqa", "probe", f"attention.{of}.human.{measure}", None) for of in order]
        statement = f"Surrogate maps are closer to where people look than the baseline's own: {title}"
        yield claim(f"surrogate-{measure}", statement, "Fig. 3, Sec. 3.1", *sides, data="human", unit="x 100")


def _ours() -> Iterator[Claim]:
    """What the paper does not ask: do these maps help, or any; does masking; would the right ones; D(g/x)."""
    for task, head in (("text", ""), ("image", ""), ("vqa", "image ")):
        name, mmd = TASKS[task].capitalize(), f"{head}mmd"
        for loss in ("mse", "adv"):
            row, title = f"{head}{loss}", LOSSES[loss]
            for maps, text in (
                ("random", "random maps"),
                ("shuffled", "the same maps dealt out to other examples"),
                ("own", "the baseline's own maps, made without masks"),
            ):
                statement = f"{name}, {title}: the best masks' maps teach more than {text}"
                yield _beats(task, row, f"{row} @ {maps} maps", statement, "Ours")
            statement = f"{name}, {title}: control, random maps do not help: the baseline beats them"
            yield _beats(task, "baseline", f"{row} @ random maps", statement, "Ours")
        statement = f"{name}, MMD: the best masks' maps teach more than the same maps dealt out to other examples"
        yield _beats(task, mmd, f"{mmd} @ shuffled maps", statement, "Ours")
        statement = f"{name}: the release's MMD, map by map, beats the printed one between sets"
        yield _beats(task, f"{mmd} @ paired", mmd, statement, "Ours, Eq. 4")
    weighted, own = (f"image mse @ {maps} maps" for maps in ("weighted", "own"))
    yield _beats("vqa", weighted, "baseline", "VQA, MSE: the mean of all masks' maps beats the baseline", "Ours")
    yield _beats("vqa", own, "baseline", "VQA, MSE: the baseline's own maps, made without masks, beat it", "Ours")
    yield _beats("vqa", weighted, own, "VQA, MSE: the mean of all masks' maps teaches more than own maps", "Ours")
    statement = "VQA: a discriminator that knows the question teaches more than one that does not"
    yield _beats("vqa", "image adv @ given the question", "image adv", statement, "Ours, Eq. 3")
    for less, text in (("baseline", "beats the baseline"), ("image mse", "beats the best masks' maps")):
        yield _beats("vqa", RIGHT, less, f"VQA: supervision by the truly relevant regions {text}", "Ours")


HEADLINES = (
    *(f"attention-{task}-adv-over-baseline" for task in ("text", "image")),
    *(f"attention-vqa-{row}-over-baseline" for row in ("question-adv", "image-adv", "both-adv")),
    "attention-human-image-adv-rc",
)
CLAIMS = mark_headlines((*_tables_1_and_2(), *_table_4(), *_table_3(), *_masks(), *_ours()), HEADLINES)
