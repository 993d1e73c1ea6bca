"""What may be asked of the arena's page: sets and their tails, losses and data of one's own, the profiles."""

from dataclasses import dataclass

from vqabook.data.pools import POOLS
from vqabook.knobs import PageSetting, knob, one_of, positive, within

NAME = "arena"
ALL = "all"
REAL = {  # sets whose recorded runs are on real data
    "cifar10": "a long tail cut out of 50,000 photographs of ten classes, frozen features",
    "cifar100": "a long tail cut out of 50,000 photographs of a hundred classes, frozen features",
    "trec": "a long tail cut out of 5,452 questions of six classes, by their words",
    "lvis_v1": "the counts of 1,203 categories, made features",
}


@dataclass(frozen=True)
class Setting(PageSetting):
    """What a reader may change on page 07."""

    dataset: str = ALL  # of the sets below; or one of them; or data of one's own, as `vqabook arena` takes it
    sets: tuple[str, ...] = knob(("digits", "fraud"), rule=one_of(*POOLS))
    imbalances: tuple[float, ...] = knob((500.0, 100.0, 10.0), rule=within(1, 1e6))
    losses: tuple[str, ...] = knob((), empty=True)  # of one's own, FILE.py:NAME
    steps: int = knob(400, rule=positive())
    longer_at: tuple[float, ...] = knob((100.0,), rule=within(1, 1e6), empty=True)  # also twice as long,
    longer_seeds: tuple[int, ...] = knob((0, 1, 2), rule=within(0, 2**31))  # these seeds
    batch_size: int = knob(512, rule=positive())
    decay: float = knob(3e-3, rule=within(0, 1))  # of class vectors, in the loss
    # of LVIS' 1,203 classes, which softmax does not learn by the others: by `arena.contest.find_training` of seed 0
    lvis_steps: int = knob(800, rule=positive())
    lvis_decay: float = knob(3e-4, rule=within(0, 1))
    trials: int = knob(5, rule=within(1, 20))  # of each rule's own value; validation rows pick
    side: int = knob(128, rule=positive())  # pixels of the images that features are extracted from
    label: str | None = None  # a table's column of labels


PROFILES: dict[str, dict] = {
    "smoke": {
        "seeds": (0,), "imbalances": (500.0, 100.0), "steps": 20, "longer_at": (), "batch_size": 64, "trials": 1,
    },
    "small": {"seeds": (0, 1, 2, 3, 4)},
    "real": {"seeds": (0, 1, 2, 3, 4), "sets": tuple(REAL), "longer_seeds": (0, 1)},
    "paper": {"seeds": tuple(range(10)), "sets": tuple(REAL)},
}  # fmt: skip
