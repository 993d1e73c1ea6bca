"""What may be asked of the page on specialised ensembles: networks, rules, how many specialists, the profiles."""

from dataclasses import dataclass
from typing import Literal

from vqabook.knobs import dropped, knob, one_of, positive, within
from vqabook.papers.paper import QuestionSetting
from vqabook.training.solver import Solver

NAME = "mcl_kd"
NETWORKS = {"mlp": "MLP", "san": "SAN", "updn": "UpDn", "resnet": "ResNet-20", "vgg": "VGGNet-17"}
TASK_OF = {"mlp": "reasoning", "san": "reasoning", "updn": "vqa", "resnet": "image", "vgg": "image"}
Rule = Literal["ie", "mcl", "cmcl", "mcl_kd", "self_kd"]
RULES: dict[Rule, str] = {"mcl": "MCL", "cmcl": "CMCL", "mcl_kd": "MCL-KD"}
MORE = ("distilled", "wide", "long", "wide and long")  # ours: without specialists, or one member in place of all


SOLVERS = {  # of the paper; on CLEVR it is Adam at a constant rate (Sec. 4.1)
    "updn": Solver("adamax", clip=0.25),  # Sec. 4.1: UpDn's release, unchanged
    # Sec. 4.2: SGD with Nesterov momentum; else CMCL's release, whose ResNet-20 has none, and decays weights alone
    "resnet": Solver("sgd", nesterov=True, weight_decay=1e-4, drops=((0.5, 0.1), (0.75, 0.01))),
    "vgg": Solver("sgd", nesterov=True, weight_decay=5e-4, drops=((0.25, 0.2), (0.5, 0.04), (0.75, 0.008))),
}


@dataclass(frozen=True)
class Ensemble:
    """How the members learn, once their base models have."""

    rule: Rule
    k: int | None  # specialists an example; None: all members
    share: bool = False  # features before the first pooling
    exact: bool = False  # CMCL: the divergence from uniform in place of random labels, which the comparison has
    by_chance: bool = False  # specialists are drawn: ours, a control
    settled: bool = False  # shared features at test time: their mean, not a draw


def runs_of(network: str, ks: tuple[int, ...], *, controls: bool) -> list[tuple[str, Ensemble]]:
    """(name, ensemble) of every row of a network; what follows an @ is ours."""
    rows = [(f"{rule} k{k}", Ensemble(rule, k)) for rule in RULES for k in ks]
    sharing: tuple[Rule, ...] = ("cmcl", "mcl_kd") if TASK_OF[network] == "image" else ()
    rows += [(f"{rule} + fs k{k}", Ensemble(rule, k, share=True)) for rule in sharing for k in ks]
    if controls:
        rows.append(("ie @ as long", Ensemble("ie", None)))
        rows += [(f"mcl_kd k{k} @ by chance", Ensemble("mcl_kd", k, by_chance=True)) for k in ks]
        rows += [(f"cmcl k{k} @ exact", Ensemble("cmcl", k, exact=True)) for k in ks]
    if controls and TASK_OF[network] == "image":
        rows.append(("ie + fs @ as long", Ensemble("ie", None, share=True)))
        rows.append((f"mcl_kd + fs k{ks[0]} @ settled", Ensemble("mcl_kd", ks[0], share=True, settled=True)))
    return rows


@dataclass(frozen=True)
class Setting(QuestionSetting):
    """What a reader may change on the page."""

    networks: tuple[str, ...] = knob(tuple(NETWORKS), rule=one_of(*NETWORKS))
    members: int = knob(5, rule=within(2, 100))  # Sec. 4.1
    specialists: tuple[int, ...] = knob((1, 2, 3), rule=positive())  # k
    vqa_specialists: tuple[int, ...] = knob((3,), rule=positive())  # k of UpDn: Table 2
    controls: bool = True  # the rows that are ours
    more: tuple[str, ...] = knob((), rule=one_of(*MORE), empty=True)  # and those that are asked for alone
    betas: tuple[float, ...] = knob((), rule=positive(), empty=True)  # MCL-KD again, its β times each
    temperatures: tuple[float, ...] = knob((), rule=positive(), empty=True)  # the same of T
    solvers: str = knob("paper", rule=one_of("paper", "adam"))  # ours: Adam at a constant rate for every network

    reasoning_data: str = knob("clevr", rule=one_of("shapes", "clevr_1500", "clevr"))
    reasoning_features: str = knob("states", rule=one_of("states", "images"))  # of CLEVR; the paper: images, conv4
    blocks: int = knob(2, rule=within(0, 100))  # release: residual blocks upon features of images
    base_epochs: int = knob(50, rule=positive())  # release
    epochs: int = knob(50, rule=positive())  # release
    batch_size: int = knob(64, rule=positive())  # Sec. 4.1
    lr: float = knob(5e-4, rule=positive())  # Sec. 4.1
    beta: float = knob(50 / 28, rule=positive())  # Sec. 4.1: 50, averaged over the 28 answers; here they are summed
    temperature: float = knob(0.1, rule=positive())  # Sec. 4.1
    cmcl_beta: float = knob(0.5, rule=positive())  # release
    word: int = knob(300, rule=positive())  # release
    hidden: int = knob(256, rule=positive())  # release
    attention: int = knob(512, rule=positive())  # release
    wide: int = knob(1024, rule=positive())  # Sec. 4.1
    dropout: float = knob(0.0, rule=dropped())

    dataset: str = "vqa_v2"  # of UpDn
    vqa_base_epochs: int = knob(30, rule=positive())  # UpDn
    vqa_epochs: int = knob(30, rule=positive())  # the same again
    vqa_batch: int = knob(256, rule=positive())  # Sec. 4.1
    vqa_lr: float = knob(2e-3, rule=positive())  # UpDn
    vqa_beta: float = knob(5000 / 3129, rule=positive())  # Sec. 4.1: 5,000, averaged over the answers
    vqa_temperature: float = knob(0.5, rule=positive())  # Sec. 4.1
    vqa_word: int = knob(300, rule=positive())  # UpDn
    vqa_hidden: int = knob(1024, rule=positive())  # UpDn
    min_answer_count: int = knob(9, rule=positive())
    max_words: int = knob(14, rule=positive())

    image_data: str = knob("cifar100", rule=one_of("digits", "cifar100"))
    image_train: int = knob(45_000, rule=positive())  # ours: of 50,000, since a tenth is held out
    image_side: int = knob(32, rule=positive())  # pixels of CIFAR-100; fewer are means of neighbours
    image_base_epochs: int = knob(160, rule=positive())  # not printed; CMCL's ResNet-20: 64,000 steps of 128
    image_epochs: int = knob(160, rule=positive())  # the same again
    image_batch: int = knob(128, rule=positive())  # CMCL
    image_lr: float = knob(0.1, rule=positive())  # CMCL
    image_beta: float = knob(50 / 28, rule=positive())  # not printed; CLEVR's
    image_temperature: float = knob(1.0, rule=positive())  # not printed
    image_cmcl_beta: float = knob(0.75, rule=positive())  # CMCL's example
    depth: int = knob(20, rule=positive())  # of the residual network
    image_width: int = knob(16, rule=positive())  # of its first stage
    vgg_width: int = knob(64, rule=positive())  # of VGGNet's first stage

    world_disagreement: float = knob(0.0, rule=within(0, 1))  # of its annotators; CLEVR's answers are certain

    def __post_init__(self):
        super().__post_init__()
        for asked in (self.specialists, self.vqa_specialists):
            if max(asked) > self.members:
                raise ValueError(
                    f"specialists of an example are members: 1 <= k <= {self.members}, got {asked}; lower k or raise "
                    "members"
                )


PROFILES: dict[str, dict] = {
    "smoke": {
        "seeds": (0,), "networks": ("san", "resnet"), "members": 3, "specialists": (1,), "reasoning_data": "shapes",
        "base_epochs": 2, "epochs": 2, "word": 8, "hidden": 8, "attention": 8, "wide": 16, "dataset": "shapes",
        "vqa_base_epochs": 2, "vqa_epochs": 2, "vqa_word": 8, "vqa_hidden": 8, "vqa_specialists": (1,),
        "min_answer_count": 2, "image_data": "digits", "image_train": 100, "image_base_epochs": 2, "image_epochs": 2,
        "image_lr": 1e-3, "solvers": "adam", "depth": 8, "image_width": 4, "questions": 300, "world_objects": (2, 4),
    },
    "small": {
        "seeds": (0, 1, 2, 3, 4), "networks": ("mlp", "san", "updn", "resnet"), "reasoning_data": "shapes",
        "base_epochs": 10, "epochs": 5, "batch_size": 128, "lr": 5e-3, "word": 32, "hidden": 64, "attention": 64,
        "wide": 128, "dataset": "shapes", "vqa_base_epochs": 8, "vqa_epochs": 8, "vqa_batch": 128, "vqa_lr": 4e-3,
        "vqa_word": 32, "vqa_hidden": 64, "min_answer_count": 3, "image_data": "digits", "image_train": 300,
        "image_base_epochs": 15, "image_epochs": 10, "image_batch": 32, "image_lr": 3e-3, "depth": 8, "image_width": 4,
        "questions": 6000, "world_objects": (2, 4), "world_noise": 0.1, "solvers": "adam",
    },
    "real": {
        "reasoning_data": "clevr_1500", "base_epochs": 12, "epochs": 6, "lr": 3e-3, "word": 32, "hidden": 64,
        "attention": 64, "wide": 128, "dataset": "vqacp_v1_coco16k", "vqa_base_epochs": 10, "vqa_epochs": 5,
        "vqa_word": 64, "vqa_hidden": 128, "min_answer_count": 3, "image_train": 10_000, "image_side": 16,
        "image_lr": 3e-3, "image_base_epochs": 8, "image_epochs": 3, "image_width": 8, "vgg_width": 8,
        "solvers": "adam",
    },
    "paper": {"reasoning_features": "images"},  # Sec. 4.1
}  # fmt: skip
