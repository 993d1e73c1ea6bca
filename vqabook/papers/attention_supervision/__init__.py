"""Patro et al. 2021, "Self Supervision for Attention Networks", WACV: attention taught by the model's own best maps.

Page 04: sentences, images, and questions about images. A supervised run starts where its baseline did, with the same
seed, and differs by the loss on its attention alone; its epoch is chosen on examples held out of train.
"""

from vqabook.papers.attention_supervision.claims import CLAIMS, CONTRADICTIONS, TITLE, UNTESTED
from vqabook.papers.attention_supervision.recipes import Probing, Run, list_recipes
from vqabook.papers.attention_supervision.setting import NAME, PROFILES, Setting
from vqabook.papers.paper import Paper, Part

PAPER = Paper(
    name=NAME,
    title=TITLE,
    pages=("attention_supervision",),
    setting=Setting,
    profiles=PROFILES,
    recipes=list_recipes,
    claims=CLAIMS,
    live=("attention-text-adv-over-baseline", "attention-image-mse-over-baseline"),
    parts={
        "train": Part(f"{__name__}.train:train", Run, "prepare", halves=True),
        "probe": Part(f"{__name__}.train:probe", Probing, "prepare"),
    },
    real={
        "trec": "the paper's own sentences: 5,452 to train on, 500 to test",
        "cifar10": "the paper's own images, 20,000 of them trained on for six epochs",
        "vqacp_v1_coco16k": "questions about photographs in 7 x 7 cells; nobody's maps to compare with",
    },
    contradictions=CONTRADICTIONS,
    untested=UNTESTED,
)
