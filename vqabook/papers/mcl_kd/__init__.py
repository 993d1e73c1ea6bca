"""Mun et al. 2018, "Learning to Specialize with Knowledge Distillation for ... VQA" (MCL-KD), NeurIPS. Page 05."""

from vqabook.papers.mcl_kd.claims import CLAIMS, CONTRADICTIONS, TITLE
from vqabook.papers.mcl_kd.recipes import Run, Unread, list_recipes
from vqabook.papers.mcl_kd.setting import NAME, PROFILES, Setting
from vqabook.papers.paper import Paper, Part

PAPER = Paper(
    name=NAME,
    title=TITLE,
    pages=("mcl_kd",),
    setting=Setting,
    profiles=PROFILES,
    recipes=list_recipes,
    claims=CLAIMS,
    live=("mcl-resnet-mcl-kd-k3-over-base-overall", "mcl-resnet-mcl-k3-over-base-oracle"),
    parts={
        "train": Part(f"{__name__}.train:train", Run, "prepare", halves=True),
        "statistics": Part(f"{__name__}.train:count", Unread, "look"),
    },
    real={
        "clevr_1500": "10,000 of CLEVR's training questions, 5,000 official validation ones, true states of objects",
        "cifar100": "10,000 training images of CIFAR-100, 16 pixels wide, and its official test",
        "vqacp_v1_coco16k": "VQA-CP v1's questions about 16,000 images at hand, divided anew with the same priors",
    },
    whole={
        "networks": PROFILES["small"]["networks"],  # 8 x 8 digits are too small for VGGNet-17
        "members": 5,
        "specialists": (1, 2, 3),
        "vqa_specialists": (3,),
        "more": ("distilled", "wide", "long"),
        "betas": (0.1,),
    },
    contradictions=CONTRADICTIONS,
)
