"""What may be asked of the loss re-scaling pages: the method's knobs, the backbones, a page's setting, the profiles."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import Any, Literal

from vqabook.knobs import dropped, knob, one_of, positive, within
from vqabook.papers.paper import QuestionSetting

NAME = "loss_rescaling"
MODULES: dict[str, dict[str, Any]] = {  # rows of Table V; the last is the whole method, "+Ours" in print
    "baseline": {},
    "mask (sigmoid)": {"mask": "sigmoid"},
    "mask (softplus-G)": {"mask": "softplus_g"},
    "re-scaling": {"rescale": True},
    "both": {"mask": "softplus_g", "rescale": True},
}
# The release adds the smoothed 0 of an out-of-type answer to its weight, 1; in as many digits as records' names have.
SMOOTHED = {"out_of_type": round(1 + log(2), 4)}
RELEASED_MASK = {"mask_combine": "multiply", "mask_second_sigmoid": True, "mask_reduction": "mean"}
RELEASE = RELEASED_MASK | SMOOTHED | {"min_votes": 10, "positive_only": True}
DEPARTURES = (  # page 02: one choice at a time, then all of the release's
    ("bce both", "out-of-type 1 + log 2", SMOOTHED),
    ("bce both", "in-type from 10 votes", {"min_votes": 10}),
    ("bce both", "positive term only", {"positive_only": True}),
    ("bce both", "mask times logits", {"mask_combine": "multiply"}),
    ("bce both", "mask times logits, released mask loss", RELEASED_MASK),
    ("bce both", "release", RELEASE),
    ("bce re-scaling", "release", RELEASE),
    ("ce re-scaling", "from the start", {"from_start": True}),
)
UNIFORM = "uniform answers"  # the control: an embedded world in which there is nothing to re-scale
IN_TURN = "types in turn"  # another division of the same questions, whose test asks for rare answers
DIAGNOSED = ("bce baseline", "ce baseline")  # the variants of page 01


@dataclass(frozen=True)
class Method:
    """The paper's own knobs. Defaults follow its equations; `RELEASE` is what its code does instead."""

    loss: Literal["bce", "ce"] = "bce"  # Sigm-BCE (Eq. 2), or "ce", Soft-CE (Eq. 3)
    mask: Literal["sigmoid", "softplus_g"] | None = None  # f in Eq. 4
    rescale: bool = False  # Eqs. 7-8
    mask_dropout: float = 0.0  # Sec. V-D tunes 0 to 1; UpDn prefers little (Fig. 7)
    mask_combine: Literal["add_log", "multiply"] = "add_log"  # the paper does not say; release: multiply
    mask_weight: float = 1.0  # Sec. V-D
    mask_second_sigmoid: bool = False  # release
    mask_reduction: Literal["sum", "mean"] = "sum"  # Eq. 5 sums over answers, the release averages: "mean"
    min_votes: int = 1  # votes that make an answer in-type; release: 10
    out_of_type: float = 1.0  # below Eq. 7; release: 1 + log 2
    cap: float = 100.0  # Eq. 8
    positive_only: bool = False  # Eq. 11 weighs both terms; the release the positive one
    from_start: bool = False  # weigh from the first epoch on instead of in a second stage


@dataclass(frozen=True)
class Backbone:
    """What is trained instead of plain UpDn, with its options; those of other backbones are None."""

    name: str
    frozen: bool | None = None  # release of Guo et al.: gate and smoothing never reach the optimiser
    entropy: float | None = None  # weight of LMH's penalty
    q_share: float | None = None  # of batches that go to Q-CSS; release: 5 of 10
    hint: Literal["gradient", "released_order"] | None = None  # what `Css` takes for critical
    optimizer: str | None = None
    clip: float | None = None
    sizes: Mapping[str, Any] | None = None  # of `LxmertConfig.small`
    weights: str | None = None  # a pretrained LXMERT, which has sizes of its own
    question_weight: float | None = None  # of RUBi's question branch
    gamma: float | None = None
    alpha: float | None = None
    softmax: bool | None = None  # release: the focal loss on a softmax

    def own(self, *names: str) -> dict[str, Any]:
        """Those of these options that it has."""
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


UPDN = Backbone("")  # stands without a name
BACKBONES = {backbone.name: backbone for backbone in (
    Backbone("lm", frozen=False),
    Backbone("lmh", frozen=False, entropy=0.36),  # Clark et al. for VQA-CP
    Backbone("css", q_share=0.5, hint="gradient"),
    Backbone("css_lmh", q_share=0.5, hint="gradient", entropy=0.36),
    Backbone("lxmert", optimizer="adamw", clip=5.0),  # release
    Backbone("question_only"),
    Backbone("shuffled"),  # ours, a control: UpDn that is shown the image of another question
    Backbone("san"),
    Backbone("rubi", question_weight=1.0),  # Cadene et al.
    Backbone("bias_product"),
    Backbone("reweight"),
    Backbone("focal", gamma=2.0, alpha=0.25, softmax=False),
)}  # fmt: skip
BLIND = ("ce baseline", "ce re-scaling")  # ours: what weights bring to a model that sees no image, or another one
ROWS_OF = {  # the rows of Table V that a backbone has; others: all, with Sigm-BCE (Sec. VI-B)
    "css": tuple(f"{loss} {module}" for loss in ("bce", "ce") for module in MODULES),
    "lxmert": ("bce baseline", "bce re-scaling", "ce baseline", "ce re-scaling"),  # Sec. V-C: without a mask
    "question_only": ("bce baseline", *BLIND),
    "shuffled": BLIND,
    "rubi": ("ce baseline",),
    **dict.fromkeys(("san", "bias_product", "reweight", "focal"), ("bce baseline",)),
}
MIXINS = ("lm", "lmh")  # they may take steps of their own: on ten votes they hardly learn by UpDn's
DROPPED = ("lm", "lmh", "css")  # Fig. 7, beside UpDn
VARIED = (  # page 02: a backbone, its run, the name of a change, and the change
    ("lm", "bce baseline", "frozen gate", {"frozen": True}),
    ("lmh", "bce baseline", "frozen gate", {"frozen": True}),
    ("css", "bce baseline", "V-CSS alone", {"q_share": 0.0}),
    ("css", "bce baseline", "Q-CSS alone", {"q_share": 1.0}),
    ("css", "bce re-scaling", "positive term only", {"positive_only": True}),
    ("lxmert", "bce re-scaling", "positive term only", {"positive_only": True}),
    ("focal", "bce baseline", "released", {"softmax": True}),
)
POSITIVE = ("positive term only", {"positive_only": True})
CONTEST: tuple[tuple[str, str, str, Mapping[str, Any]], ...] = (  # the arena: a backbone, its run, a change of it
    *(("", f"{loss} {module}", "", {}) for loss in ("bce", "ce") for module in MODULES if module != "mask (sigmoid)"),
    *(("", f"bce {module}", *POSITIVE) for module in ("re-scaling", "both")),
    *((name, "bce baseline", "", {}) for name in ("lm", "lmh", "bias_product", "reweight", "focal")),
    ("rubi", "ce baseline", "", {}),
)
BLINDED = [rule for rule in CONTEST if rule[0] or rule[1].startswith("bce") and rule[1] != "bce baseline"]  # page 02
CONTEST_SIZES = {  # of these runs: some 5,000 questions, seen and unseen, take minutes on two cores
    "epochs": 5, "rescale_epochs": 2, "batch_size": 128, "lr": 0.02, "hidden": 64, "word": 64, "attention_dropout": 0.0,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class VisionOptions:
    """How one image set of Sec. III-B is trained; the values are ours, for minutes on one CPU core."""

    depth: int = 8  # 6 n + 2; He et al. 2016 start at 20
    width: int = 16
    stem_stride: int = 1
    epochs: int = 15  # of the imbalanced cut; the control takes as many steps
    batch_size: int = 128  # He et al. 2016, Sec. 4.2
    optimizer: str = "adam"  # they use SGD with momentum, and lower lr in steps; here it stays
    lr: float = 2e-3
    clip: float = 5.0
    shift: int = 0  # pixels at most; He et al. 2016, Sec. 4.2: 4, and flips
    flip: bool = False
    centre_weight: float = 0.0  # λ, Wen et al. 2016; 0: softmax cross-entropy alone
    centre_rate: float = 0.5  # α, Wen et al. 2016
    watched: int = 2000  # rows of train and held out that are looked at after an epoch; all after the last


VISION = {
    "cifar10": VisionOptions(shift=4, flip=True),
    "faces": VisionOptions(stem_stride=2, epochs=20, batch_size=32, shift=2, flip=True, centre_weight=0.003),
    "digits": VisionOptions(width=8, epochs=20, batch_size=32),
}
# Imbalance and share held out; None: as it is by nature.
VISION_CUTS = {"cifar10": (100.0, None), "faces": (None, 0.5), "digits": (20.0, 0.6)}
VISION_CHANGES = {"smoke": {"width": 4, "epochs": 2}, "paper": {"depth": 32, "width": 16, "epochs": 200}}


@dataclass(frozen=True)
class Setting(QuestionSetting):
    """What a reader may change on pages 01 and 02."""

    priors: tuple[str, ...] = knob(("changing", "same"), rule=one_of("changing", "same"))
    test_share: float = knob(
        round(1 / 3, 4), rule=within(0.01, 0.99)
    )  # where questions are divided anew to change them
    epochs: int = knob(20, rule=positive())  # first stage; release, main.py
    rescale_epochs: int = knob(10, rule=positive())  # second stage, "another ten epochs" (Sec. V-D)
    batch_size: int = knob(512, rule=positive())  # UpDn code
    lr: float = knob(2e-3, rule=positive())  # Adamax, UpDn code
    mixin_step: float = knob(1.0, rule=positive())  # of LM and LMH, in steps of the others
    hidden: int = knob(1024, rule=within(2, 10**5))  # SAN's attention has half as many
    word: int = knob(300, rule=positive())
    glove: bool = False  # words start from GloVe's vectors, as in UpDn's code
    attention_dropout: float = knob(0.2, rule=dropped())  # UpDn code; 0 in CPU profiles: a third of a step
    min_answer_count: int = knob(9, rule=positive())  # UpDn preprocessing
    as_typed: bool = False  # release: answers are looked up as they stand; the evaluation normalises them
    mask_dropouts: tuple[float, ...] = knob((0.2, 0.4, 0.6, 0.8), rule=dropped(), empty=True)  # Fig. 7, beside 0
    departures: bool = True  # the release's choices, one by one
    longer: bool = False  # baselines and re-scaled Soft-CE are trained twice as long, too: have they converged?
    blind: bool = False  # rules against changed priors train a model that sees no image, too
    min_votes: int = knob(1, rule=positive())
    out_of_type: float = knob(1.0, rule=positive())
    cap: float = knob(100.0, rule=within(1, 1e9))  # of weights; Eqs. 7-8 give no smaller ones than log 2
    backbones: tuple[str, ...] = knob(tuple(BACKBONES), rule=one_of(*BACKBONES), empty=True)  # trained besides UpDn
    backbone_modules: tuple[str, ...] = knob(tuple(MODULES), rule=one_of(*MODULES))  # the rows of Table V for these
    lxmert_weights: str = "random"  # of these sizes; or a pretrained LXMERT, a folder or a name on the hub
    lxmert_batch: int = knob(32, rule=positive())  # release
    lxmert_lr: float = knob(5e-5, rule=positive())  # release
    lxmert_epochs: int = knob(4, rule=positive())  # first stage; release
    lxmert_rescale_epochs: int = knob(10, rule=positive())
    lxmert_hidden: int = knob(768, rule=positive())
    lxmert_dropout: float = knob(0.1, rule=dropped())  # release; 0 in CPU profiles
    lxmert_layers: tuple[int, int, int] = knob((9, 5, 5), rule=within(1, 24))  # language, regions, cross
    vision: tuple[str, ...] = knob(("cifar10", "faces"), rule=one_of(*VISION), empty=True)  # Sec. III-B


SMALL_LXMERT = {"lxmert_layers": (1, 1, 1), "lxmert_dropout": 0.0, "lxmert_lr": 1e-3}
PROFILES: dict[str, dict] = {
    "smoke": SMALL_LXMERT | {
        "questions": 400, "epochs": 1, "rescale_epochs": 1, "hidden": 16, "word": 16, "batch_size": 64,
        "seeds": (0,), "min_answer_count": 2, "mask_dropouts": (), "world_objects": (2, 4),
        "lxmert_batch": 64, "lxmert_epochs": 1, "lxmert_rescale_epochs": 1, "lxmert_hidden": 16, "vision": ("digits",),
    },
    "small": SMALL_LXMERT | {
        "questions": 4000, "world_objects": (2, 4), "world_noise": 0.3, "min_answer_count": 3,
        "epochs": 8, "rescale_epochs": 4, "hidden": 64, "word": 64, "batch_size": 256, "lr": 1e-2,
        "attention_dropout": 0.0, "mask_dropouts": (0.4, 0.8), "seeds": (0, 1, 2, 3, 4),
        "lxmert_batch": 256, "lxmert_epochs": 8, "lxmert_rescale_epochs": 4, "lxmert_hidden": 64, "vision": ("digits",),
    },
    "real": SMALL_LXMERT | {
        "dataset": "vqa_v2_60k", "seeds": (0, 1, 2, 3, 4), "longer": True, "blind": True, "min_answer_count": 5,
        "mask_dropouts": (),
        "epochs": 6, "rescale_epochs": 3, "hidden": 256, "word": 128, "batch_size": 256, "attention_dropout": 0.0,
        "lxmert_batch": 256, "lxmert_epochs": 4, "lxmert_rescale_epochs": 2, "lxmert_hidden": 64,
        "mixin_step": 10.0,  # of 3 and 10 the better on validation, with a seed that no record has
    },
    "paper": {"dataset": "vqacp_v2", "glove": True, "lxmert_weights": "unc-nlp/lxmert-base-uncased"},
}  # fmt: skip
