"""Plain words for what records name, numbers as a text shows them, and text that unfolds."""

import re

SETS = {
    "shapes": "generated scenes", "vqacp_v1_coco16k": "VQA-CP v1", "vqa_v2_60k": "VQA v2 with ten votes",
    "clevr_1500": "CLEVR", "trec": "TREC", "cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "faces": "LFW",
    "lvis_v1": "LVIS", "made": "made features", "scenes": "generated scenes", "easy_vqa": "easy-VQA",
}  # fmt: skip
WORDS = {  # of a run's name in its recipe -> of a page
    "adv": "adversarial loss", "avg": "AVG", "base": "independent ensemble", "bce": "BCE", "cbs": "CBS",
    "cbw": "CBW", "ce": "CE", "cmcl": "CMCL", "coral": "CORAL", "crt": "cRT", "css": "CSS", "css_lmh": "CSS+LMH",
    "drw": "DRW", "exact": "exact divergence", "fs": "feature sharing", "ie": "independent ensemble",
    "k1": "(k = 1)", "k2": "(k = 2)", "k3": "(k = 3)", "ldam": "LDAM", "lm": "LM", "lmh": "LMH", "lws": "LWS",
    "lxmert": "LXMERT", "mcl": "MCL", "mcl_kd": "MCL-KD", "mlp": "MLP", "mmd": "MMD", "modal": "commonest answer",
    "mse": "MSE", "pool": "POOL", "question_only": "question-only", "resnet": "ResNet", "rubi": "RUBi",
    "san": "SAN", "shuffled": "other images", "updn": "UpDn", "vgg": "VGG", "votes": "all votes", "vqa": "VQA",
}  # fmt: skip

_NEGATIVE = re.compile(r"(?<![\w.\-−])-(?=\.?\d)")


def name_run(variant: str) -> str:
    """A run's name in words: "san mcl_kd k2 @ settled" is "SAN MCL-KD (k = 2), settled"."""
    words = " ".join(WORDS.get(word, word) for word in variant.split())
    return words.replace(" @ as long", ", trained as long").replace(" @ ", ", ").replace("_", " ")


def name_set(dataset: str) -> str:
    """A data set's name in words; one of a reader's own keeps its name."""
    return SETS.get(dataset, dataset)


def minus(text: str) -> str:
    """The text with a minus for the hyphen of each negative number; ranges, dates and names keep theirs."""
    return _NEGATIVE.sub("−", text)


def minus_cells(html: str) -> str:
    """`minus` of what HTML shows; its tags and its code stay as they are."""
    return re.sub(r"<code.*?</code>|<[^>]*>|[^<]+", lambda part: part[0] if part[0][0] == "<" else minus(part[0]), html)


def sign(value: float, digits: int = 2) -> str:
    """A number with its sign; one that rounds to zero has none."""
    rounded = round(value, digits)
    return minus(f"{rounded:+.{digits}f}" if rounded else f"{0:.{digits}f}")


def clear(value: float, digits: int = 2) -> str:
    """A number with a minus if it is negative as shown: no "−0.0"."""
    return minus(f"{value:z.{digits}f}")


def span(low: float | None, high: float | None) -> str:
    """An interval behind a number, with its blank; nothing where there is none."""
    return "" if low is None or high is None else f" [{sign(low)}, {sign(high)}]"


def fold(words: str, html: str, *, kind: str = "") -> str:
    """HTML that a line of `words`, HTML too, unfolds. `kind`: its class in the book's style."""
    style = f' class="{kind}"' if kind else ""
    return f"<details{style}><summary>{words}</summary>{html}</details>"
