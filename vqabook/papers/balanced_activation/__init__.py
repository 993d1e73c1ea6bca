"""Ren et al. 2020, "Balanced Activation for Long-tailed Visual Recognition", arXiv:2008.11037. Page 06."""

from vqabook.papers.balanced_activation.claims import CLAIMS, CONTRADICTIONS, TITLE
from vqabook.papers.balanced_activation.head_recipes import HeadsRun
from vqabook.papers.balanced_activation.recipes import CountsRun, DetectionRun, Run, list_recipes
from vqabook.papers.balanced_activation.setting import NAME, PROFILES, Setting
from vqabook.papers.paper import Paper, Part

PAPER = Paper(
    name=NAME,
    title=TITLE,
    pages=("balanced_activation",),
    setting=Setting,
    profiles=PROFILES,
    recipes=list_recipes,
    claims=CLAIMS,
    live=("balanced-10-100-over-softmax", "balanced-10-100-over-cbs"),
    parts={
        "train": Part(f"{__name__}.train:train", Run, "prepare", halves=True),
        "full": Part(f"{__name__}.train:train", Run, "prepare", halves=True),
        "counts": Part(f"{__name__}.counts:train", CountsRun),
        "heads": Part(f"{__name__}.heads:train", HeadsRun, "prepare"),
        "detection": Part(f"{__name__}.detection:train", DetectionRun, apart=True),
    },
    real={
        "cifar10": "a long tail cut out of 50,000 photographs of ten classes",
        "cifar100": "a long tail cut out of 50,000 photographs of a hundred classes",
        "lvis_v1": "the counts of 1,203 categories, without their images",
    },
    whole={"imbalances": (100.0, 10.0), "further_at": (100.0,), "detection": True},
    contradictions=CONTRADICTIONS,
)
