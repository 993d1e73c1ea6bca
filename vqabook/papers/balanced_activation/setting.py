"""What may be asked of the page on balanced activation: sets and their tails, rules, the profiles."""

from dataclasses import dataclass

from vqabook.knobs import PageSetting, knob, one_of, positive, within

NAME = "balanced_activation"
AUGMENTS = ("none", "shift", "crop and flip", "autoaugment", "autoaugment, bicubic")
DROPS = ((0.8, 0.01), (0.9, 0.0001))  # (share of training, factor of lr): LDAM, release, at 160 and 180 of 200


@dataclass(frozen=True)
class Method:
    """A row: how the classifier learns."""

    rule: str  # of `objectives.longtail`
    draw: str = "rows"  # an epoch's; classes: evenly; repeat: rare classes' rows more often; learnt: meta sampler
    exponent: float = 1.0  # of the counts, in balanced softmax
    dealt: bool = False  # counts are dealt out to other classes: ours, a control
    # crt, lws: the classifier alone, classes drawn evenly; anew: a new one, as `draw` says; again: it goes on
    second: str | None = None

    @property
    def evenly(self) -> bool:
        """Whether classes are drawn evenly, of a meta sampler those of its meta set."""
        return self.draw in ("classes", "learnt") or self.second in ("crt", "lws")


TABLE = {  # Table 1
    "softmax": Method("softmax"),
    "cbw": Method("inverse"),
    "cbs": Method("softmax", draw="classes"),
    "focal": Method("focal"),
    "class balance": Method("effective"),
    "ldam": Method("ldam"),
    "equalisation": Method("equalisation"),
    "balanced softmax": Method("balanced_softmax"),
}
AS_LONG = " @ as long"  # in one stage, as many steps as cRT and LWS have in both: what these are compared with
FURTHER = {  # what Table 1 lacks; "@": ours
    "crt": Method("softmax", second="crt"),
    "lws": Method("softmax", second="lws"),
    "balanced meta-softmax": Method("balanced_softmax", draw="learnt", second="anew"),  # arXiv:2007.10740
    "balanced softmax @ second stage": Method("balanced_softmax", second="anew"),
    "balanced softmax @ second stage, evenly": Method("balanced_softmax", draw="classes", second="anew"),
    "sigmoid": Method("sigmoid"),
    "balanced sigmoid": Method("balanced_sigmoid"),
    "balanced sigmoid @ released": Method("released_sigmoid"),
    "equalisation @ sigmoid": Method("equalisation_sigmoid"),
    **{f"{row}{AS_LONG}": TABLE[row] for row in ("softmax", "balanced softmax")},
    "ldam @ drw": Method("ldam_drw"),
    "class balance @ focal": Method("effective_focal"),
    "balanced softmax @ dealt counts": Method("balanced_softmax", dealt=True),
    **{f"balanced softmax @ exponent {x:g}": Method("balanced_softmax", exponent=x) for x in (0.25, 0.5, 1.5, 2.0)},
}
ROWS = TABLE | FURTHER
HALVED = ("softmax", "cbs", "balanced softmax")
IN_BF16 = " @ bf16"
FULL = "full"  # the part of networks of full size
COUNTS_ROWS = {
    **{name: ROWS[name] for name in ("softmax", "balanced softmax", "sigmoid", "balanced sigmoid")},
    **{name: ROWS[name] for name in ("balanced sigmoid @ released", "equalisation @ sigmoid")},
    "repeat factor": Method("sigmoid", draw="repeat"),
    "crt": Method("sigmoid", second="crt"),
    "lws": Method("sigmoid", second="lws"),
}
DETECTION_ROWS = {  # Table 2; all but the first train the first one's classifier alone (Sec. 4.2)
    "repeat factor": Method("sigmoid", draw="repeat"),  # release: features are learnt by sigmoids
    "crt": Method("sigmoid", draw="classes", second="crt"),
    "lws": Method("sigmoid", draw="classes", second="lws"),
    "equalisation": Method("equalisation_sigmoid", draw="repeat", second="again"),
    "balanced sigmoid": Method("balanced_sigmoid", draw="repeat", second="again"),
    "softmax @ anew": Method("softmax", draw="repeat", second="again"),
    "repeat factor @ as long": Method("sigmoid", draw="repeat", second="again"),
}


def name_full(row: str, imbalance: float) -> str:
    """The variant of a row by a network of full size."""
    return f"{FULL} {row} at {imbalance:g}"


@dataclass(frozen=True)
class Setting(PageSetting):
    """What a reader may change on the page."""

    dataset: str = knob("cifar10", rule=one_of("cifar10", "cifar100", "digits"))  # Sec. 4.1; the other is cifar100
    imbalances: tuple[float, ...] = knob((200.0, 100.0, 10.0), rule=within(1, 1e6))  # Table 1
    further_at: tuple[float, ...] = knob(
        (100.0,), rule=within(1, 1e6), empty=True
    )  # imbalances at which rows of ours are run
    in_bf16: tuple[str, ...] = knob((), rule=one_of(*TABLE), empty=True)  # rows run there again, their layers in bf16

    depth: int = knob(32, rule=positive())  # Sec. 4.1: ResNet-32
    width: int = knob(16, rule=positive())  # of its first stage
    stem_stride: int = knob(1, rule=one_of(1, 2))  # ours: 2 halves images at once
    steps: int = knob(13_000, rule=positive())  # release
    second_steps: int = knob(4_000, rule=positive())  # of cRT and LWS, and of rows as long; ours: a third of the first
    batch_size: int = knob(512, rule=positive())  # release
    lr: float = knob(0.1, rule=positive())  # release
    warmup: int = knob(800, rule=within(0, 10**6))  # release: steps from lr / 2
    schedule: str = knob("cosine", rule=one_of("cosine", "steps"))  # release; LDAM: steps
    weight_decay: float = knob(5e-4, rule=within(0, 1))  # release
    # release: with Cutout, its shears bicubic; LDAM: crop and flip
    augment: str = knob("autoaugment", rule=one_of(*AUGMENTS))
    drw: str = knob("weights", rule=one_of("weights", "examples"))  # LDAM-DRW's later mean is over; release: weights
    full_rows: tuple[str, ...] = knob((), rule=one_of(*ROWS), empty=True)  # again, by a network that learns its rows
    full_longer_seeds: tuple[int, ...] = knob((0, 1), rule=within(0, 2**31))  # also twice as long
    full_longer_rows: tuple[str, ...] = knob((), rule=one_of(*ROWS), empty=True)  # of these rows
    full_depth: int = knob(20, rule=positive())
    full_stem_stride: int = knob(1, rule=one_of(1, 2))
    full_steps: int = knob(11_640, rule=positive())
    full_second_steps: int = knob(2_910, rule=positive())
    full_batch_size: int = knob(64, rule=positive())
    full_warmup: int = knob(582, rule=within(0, 10**6))
    full_augment: str = knob("crop and flip", rule=one_of(*AUGMENTS))
    full_precision: str = knob("bf16", rule=one_of("fp32", "bf16"))
    many: int = knob(100, rule=positive())  # a class of more training rows is many, of the release
    few: int = knob(20, rule=positive())  # a class of fewer is few

    counts: str = knob("lvis_v1", rule=one_of("made", "lvis_v1"))  # whose tail the study of classifiers has
    counts_seeds: tuple[int, ...] = knob((0, 1, 2, 3, 4), rule=within(0, 2**31))
    counts_classes: int = knob(1203, rule=within(3, 10**5))  # of a made tail
    counts_share: float = knob(0.05, rule=within(0, 1))  # of the instances of the real tail, at least one a class
    counts_width: int = knob(64, rule=positive())  # of the features
    counts_noise: float = knob(2.0, rule=positive())  # of a feature, of the distance between classes
    counts_background: float = knob(0.5, rule=within(0, 0.99))  # share of training rows without a class
    counts_steps: int = knob(4_000, rule=positive())
    counts_lr: float = knob(0.02, rule=positive())

    heads_sets: tuple[str, ...] = knob((), rule=one_of("cifar10", "cifar100", "digits"), empty=True)  # on features
    heads_imbalances: tuple[float, ...] = knob((500.0, 200.0, 100.0, 10.0), rule=within(1, 1e6))
    heads_seeds: tuple[int, ...] = knob(tuple(range(10)), rule=within(0, 2**31))
    heads_longer_at: tuple[float, ...] = knob((100.0,), rule=within(1, 1e6), empty=True)  # also twice as long,
    heads_longer_seeds: tuple[int, ...] = knob((0, 1, 2), rule=within(0, 2**31))  # these seeds
    heads_side: int = knob(128, rule=positive())  # pixels of the images that features are extracted from
    heads_steps: int = knob(300, rule=positive())
    heads_batch_size: int = knob(512, rule=positive())
    heads_lr: float = knob(0.01, rule=positive())
    heads_decay: float = knob(3e-3, rule=within(0, 1))  # of class vectors, in the loss

    detection: bool = False  # Mask R-CNN, for which vqabook[detection] is installed
    detection_dataset: str = knob("scenes", rule=one_of("scenes", "lvis_v1"))  # generated, or LVIS 1.0 (Sec. 4.2)
    detection_seeds: tuple[int, ...] = knob((0, 1, 2, 3, 4), rule=within(0, 2**31))
    detection_images: int = knob(400, rule=positive())  # generated to train on; a fourth as many to judge
    detection_side: int = knob(128, rule=within(64, 1024))  # of a generated one, pixels
    detection_sides: tuple[int, ...] = knob((640, 672, 704, 736, 768, 800), rule=within(32, 4096))  # of LVIS' shorter
    detection_weights: str = knob("random", rule=one_of("random", "imagenet"))  # that the backbone starts from
    detection_backbones: tuple[str, ...] = knob(("resnet18",), rule=one_of("resnet18", "resnet50", "resnet101"))
    detection_channels: int = knob(256, rule=positive())  # of the feature pyramid: torchvision's
    detection_batch_size: int = knob(4, rule=positive())
    detection_lr: float = knob(0.02, rule=positive())
    detection_epochs: int = knob(25, rule=positive())  # Sec. 4.2
    detection_second_epochs: int = knob(10, rule=positive())  # Sec. 4.2

    def __post_init__(self):
        super().__post_init__()
        for (part, least), (whole, most) in (
            (("warmup", self.warmup), ("steps", self.steps)),
            (("few", self.few), ("many", self.many)),
        ):
            if least > most:
                raise ValueError(f"{part} is at most {whole}, {most}, got {least}; lower it or raise {whole}")


PROFILES: dict[str, dict] = {
    "smoke": {
        "seeds": (0,), "dataset": "digits", "imbalances": (10.0,), "further_at": (10.0,), "depth": 8, "width": 4,
        "in_bf16": HALVED, "steps": 12, "second_steps": 6, "batch_size": 32, "warmup": 2, "augment": "shift",
        "many": 40, "few": 15, "counts": "made", "counts_seeds": (0,), "counts_classes": 20, "counts_share": 1.0,
        "counts_width": 8, "counts_steps": 20, "heads_sets": ("digits",), "heads_imbalances": (10.0,),
        "heads_seeds": (0,), "heads_longer_at": (), "heads_steps": 20, "heads_batch_size": 64,
        "full_rows": ("softmax", "crt"), "full_longer_rows": ("softmax",), "full_depth": 8, "full_steps": 6,
        "full_longer_seeds": (0,), "full_second_steps": 3, "full_batch_size": 32, "full_warmup": 2,
        "full_augment": "shift", "full_precision": "fp32",
    },
    "small": {
        "seeds": tuple(range(10)), "dataset": "digits", "imbalances": (100.0, 10.0), "depth": 8, "width": 8,
        "in_bf16": HALVED, "steps": 400, "second_steps": 130, "batch_size": 64, "warmup": 40, "augment": "shift",
        "many": 40, "few": 15, "counts": "made", "counts_classes": 200, "counts_share": 1.0, "counts_width": 32,
        "counts_noise": 1.5, "counts_steps": 1_500, "detection_images": 300, "detection_side": 96,
        "detection_channels": 64, "detection_epochs": 6, "detection_second_epochs": 3,
    },
    "real": {
        "imbalances": (100.0,), "depth": 8, "stem_stride": 2, "steps": 1_500,
        "second_steps": 500, "batch_size": 128, "warmup": 100, "heads_sets": ("cifar10", "cifar100"),
        "full_rows": (*TABLE, "crt", "lws", "ldam @ drw", "balanced softmax @ dealt counts"),
        "full_longer_rows": HALVED,
    },
    "paper": {
        "detection_dataset": "lvis_v1", "detection_backbones": ("resnet50", "resnet101"),
        "detection_weights": "imagenet", "detection_batch_size": 16, "detection_seeds": (0,),
    },
}  # fmt: skip
