"""Guo et al. 2022, "Loss re-scaling VQA: Revisiting the Language Prior ...", arXiv:2010.16010. Pages 01 and 02."""

from vqabook.papers.loss_rescaling.claims import CLAIMS, TITLE, UNTESTED
from vqabook.papers.loss_rescaling.printed import CONTRADICTIONS
from vqabook.papers.loss_rescaling.recipes import Run, VisionRun, list_recipes
from vqabook.papers.loss_rescaling.setting import NAME, PROFILES, Setting
from vqabook.papers.paper import Paper, Part, Recipe

PAPER = Paper(
    name=NAME,
    title=TITLE,
    pages=("class_imbalance", "loss_rescaling"),
    setting=Setting,
    profiles=PROFILES,
    recipes=list_recipes,
    claims=CLAIMS,
    live=(
        "assumption-1-bce",
        "assumption-2-bce",
        "table-v-bce-both-over-baseline",
        "table-v-bce-re-scaling-over-baseline",
        "table-v-ce-re-scaling-over-baseline",
    ),
    parts={
        "train": Part(f"{__name__}.train:train", Run, "prepare", halves=True),
        "statistics": Part(f"{__name__}.train:count", Recipe, "look"),
        "backbones": Part(f"{__name__}.train:train", Run, "prepare", halves=True),
        "vision": Part(f"{__name__}.vision:train", VisionRun, "prepare", halves=True),
    },
    real={
        "vqa_v2_60k": "11,142 questions with all ten answers, a third of them for test, divided so that priors change",
        "cifar10": "imbalanced CIFAR-10, another task (Sec. III-B)",
        "faces": "the seven people of LFW, another task (Sec. III-B)",
    },
    further={
        "vqacp_v1_coco16k": "28,666 training and 14,726 test questions with one known answer, whose priors change"
    },
    contradictions=CONTRADICTIONS,
    untested=UNTESTED,
)
