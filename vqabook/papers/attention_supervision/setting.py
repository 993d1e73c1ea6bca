"""What may be asked of the attention page: tasks, losses, whose maps supervise, the profiles."""

from dataclasses import dataclass
from typing import Literal

from vqabook.knobs import dropped, knob, one_of, positive, within
from vqabook.papers.paper import QuestionSetting

NAME = "attention_supervision"

TASKS = {"text": "text classification", "image": "image classification", "vqa": "visual question answering"}
HEADS = {"text": ("word_attention",), "image": ("attention",), "vqa": ("attention", "word_attention")}
Loss = Literal["coral", "mse", "mmd", "adv"]
LOSSES: dict[Loss, str] = {
    "coral": "CORAL",
    "mse": "MSE",
    "mmd": "MMD",
    "adv": "adversarial",
}  # in the order of the paper's tables
DATA = {"text": ("shapes", "trec"), "image": ("digits", "cifar10")}
CONTROLS = ("weighted", "own", "random", "shuffled")  # maps that supervise in place of the best masks'


@dataclass(frozen=True)
class Supervision:
    """Which attention of a run is supervised, by which loss, with whose maps."""

    loss: Loss
    heads: tuple[str, ...]
    maps: str = "best"  # best: Sec. 3.1-3.2; weighted: the mean of all; controls: own, random, shuffled, relevant
    n_masks: int | None = None  # other than the page's
    paired: bool = False  # MMD as the release computes it
    given: bool = False  # adversarial: the discriminator knows the question; Eq. 3 prints D(g/x)


def list_supervised(task: str) -> list[tuple[str, Supervision]]:
    """(name, supervision) of every supervised row of a task; what follows an @ is ours."""
    heads = {"question ": ("word_attention",), "image ": ("attention",)} if task == "vqa" else {"": HEADS[task]}
    rows = [(f"{of}{loss}", Supervision(loss, head)) for of, head in heads.items() for loss in LOSSES]
    of, head = list(heads.items())[-1]
    if task == "vqa":
        rows.append(("both adv", Supervision("adv", HEADS[task])))
        rows.append((f"{of}mse @ relevant regions", Supervision("mse", head, "relevant")))
        rows.append((f"{of}adv @ given the question", Supervision("adv", head, given=True)))
    if task == "image":
        rows += [(f"mse @ {n} masks", Supervision("mse", head, n_masks=n)) for n in (100, 1000)]
    rows.append((f"{of}mmd @ paired", Supervision("mmd", head, paired=True)))
    rows.append((f"{of}mmd @ shuffled maps", Supervision("mmd", head, "shuffled")))
    for maps in CONTROLS:
        rows += [(f"{of}{loss} @ {maps} maps", Supervision(loss, head, maps)) for loss in ("mse", "adv")]
    return rows


@dataclass(frozen=True)
class Setting(QuestionSetting):
    """What a reader may change on the page."""

    tasks: tuple[str, ...] = knob(tuple(TASKS), rule=one_of(*TASKS))
    losses: tuple[str, ...] = knob(tuple(LOSSES), rule=one_of(*LOSSES))
    controls: bool = True  # the rows that are ours: other maps, other numbers of masks, the release's MMD, D(g/x)
    probed: int = knob(1000, rule=positive())  # training examples looked at closely: Fig. 7, Sec. 4.5
    bandwidth: float = knob(0.3, rule=positive())  # of MMD's kernel; maps are at most √2 apart; ours

    text_data: str = knob("trec", rule=one_of(*DATA["text"]))
    text_seeds: tuple[int, ...] = knob((), rule=within(0, 2**31), empty=True)  # of sentences; without, those of all
    text_epochs: int = knob(10, rule=positive())  # release
    text_batch: int = knob(64, rule=positive())  # ours; release: 1
    text_lr: float = knob(1e-3, rule=positive())  # Adam's default, which the release ends up with
    word: int = knob(300, rule=positive())  # release
    hidden: int = knob(256, rule=positive())  # release
    word_attention: int = knob(350, rule=positive())  # release, Lin et al.
    hops: int = knob(30, rule=positive())  # release, Lin et al.
    wide: int = knob(2000, rule=positive())  # release
    text_dropout: float = knob(0.0, rule=dropped())
    hop_penalty: float = knob(0.0, rule=within(0, 100))  # Lin et al.: 1; paper and release leave it out
    glove: bool = False  # two rows more, whose words start from GloVe's vectors; the release means to and does not
    text_questions: int = knob(20_000, rule=positive())  # shapes: training questions
    word_noise: float = knob(0.0, rule=within(0, 1))  # shapes: share of words replaced by others, which tell nothing
    # γ of Sec. 4.2 "brings both the losses to the same scale" (Sec. 3) and is not printed: here γ is this share of the
    # ratio of both losses before training. Shares are ours, in the mean over all four losses the best by validation (or
    # within a tenth of a point of it), with seeds 100 and 101, which no recorded run has, before any was recorded
    text_share: float = knob(0.03, rule=within(0, 1e6))

    image_data: str = knob("cifar10", rule=one_of(*DATA["image"]))
    image_train: int = knob(45_000, rule=positive())  # images trained on; others are held out for validation
    image_epochs: int = knob(30, rule=positive())  # ours, as all sizes of this model but 32 channels of 8 x 8 cells
    image_batch: int = knob(128, rule=positive())
    image_lr: float = knob(1e-3, rule=positive())
    image_hidden: int = knob(128, rule=positive())
    image_dropout: float = knob(0.25, rule=dropped())
    image_masks: int = knob(500, rule=within(1, 10**5))  # Sec. 4.2
    image_scale: int = knob(2, rule=positive())  # Sec. 4.2
    image_share: float = knob(0.3, rule=within(0, 1e6))

    dataset: str = "vqa_v1_grid"  # of VQA; Sec. 3.1: layer 4 of ResNet-152, 14 x 14 cells
    vqa_epochs: int = knob(50, rule=positive())  # Kazemi & Elqursh's code
    vqa_batch: int = knob(128, rule=positive())  # the same
    vqa_lr: float = knob(1e-3, rule=positive())  # the same; it halves every 50,000 steps, here it stays
    vqa_word: int = knob(300, rule=positive())  # Kazemi & Elqursh
    vqa_hidden: int = knob(1024, rule=positive())  # Kazemi & Elqursh
    vqa_attention: int = knob(512, rule=positive())  # Kazemi & Elqursh
    vqa_hops: int = knob(2, rule=positive())  # ours
    vqa_dropout: float = knob(0.5, rule=dropped())  # Kazemi & Elqursh
    vqa_masks: int = knob(500, rule=within(1, 10**5))  # Sec. 4.2
    vqa_scale: int = knob(6, rule=positive())  # Sec. 4.2, of 14 x 14 cells
    min_answer_count: int = knob(9, rule=positive())
    max_words: int = knob(14, rule=positive())
    vqa_share: float = knob(0.03, rule=within(0, 1e6))  # for γ, of the image
    word_share: float = knob(0.03, rule=within(0, 1e6))  # for β, of the question


PROFILES: dict[str, dict] = {
    "smoke": {
        "seeds": (0,), "probed": 20, "text_data": "shapes", "text_epochs": 2, "word": 8, "hidden": 8,
        "word_attention": 8, "hops": 2, "wide": 16, "image_data": "digits", "image_train": 100, "image_epochs": 2,
        "image_hidden": 16, "image_masks": 10, "dataset": "shapes", "questions": 400, "text_questions": 400,
        "vqa_epochs": 2, "vqa_word": 8, "vqa_hidden": 16, "vqa_attention": 16, "vqa_masks": 10, "vqa_scale": 1,
        "min_answer_count": 2, "world_objects": (2, 4), "word_noise": 0.5,
    },
    "small": {
        "seeds": (0, 1, 2, 3, 4), "probed": 300, "text_data": "shapes", "text_epochs": 8, "word": 32, "hidden": 32,
        "word_attention": 32, "hops": 4, "wide": 64, "word_noise": 0.5, "text_lr": 2e-3,
        "image_data": "digits", "image_train": 200, "image_epochs": 40, "image_batch": 32, "image_hidden": 64,
        "text_questions": 4000, "dataset": "shapes", "questions": 10_000, "vqa_epochs": 14, "vqa_batch": 64,
        "vqa_lr": 5e-3, "vqa_word": 64, "vqa_hidden": 128, "vqa_attention": 128, "vqa_masks": 100, "vqa_scale": 1,
        "vqa_dropout": 0.0, "min_answer_count": 3, "world_objects": (2, 4), "world_noise": 0.1, "world_prior": 0.0,
    },
    "real": {
        "seeds": (0, 1, 2, 3, 4), "text_seeds": tuple(range(20)), "word": 100, "hidden": 64, "word_attention": 64,
        "hops": 8, "wide": 256, "image_train": 20_000, "image_epochs": 6, "dataset": "vqacp_v1_coco16k",
        "vqa_epochs": 10, "vqa_word": 128, "vqa_hidden": 256, "vqa_attention": 128, "vqa_scale": 3, "vqa_dropout": 0.25,
        "min_answer_count": 3,
    },
    "paper": {},
}  # fmt: skip
