"""Ilievski & Feng 2017, "A Simple Loss Function for ... VQA Models", arXiv:1708.00584. Page 03."""

from vqabook.papers.paper import Paper, Part, Recipe
from vqabook.papers.soft_cross_entropy.claims import CLAIMS, CONTRADICTIONS, TITLE, UNTESTED
from vqabook.papers.soft_cross_entropy.recipes import Run, list_recipes
from vqabook.papers.soft_cross_entropy.setting import NAME, PROFILES, Setting

PAPER = Paper(
    name=NAME,
    title=TITLE,
    pages=("soft_cross_entropy",),
    setting=Setting,
    profiles=PROFILES,
    recipes=list_recipes,
    claims=CLAIMS,
    live=("soft-ce-table-1-avg-overall",),
    parts={
        "train": Part(f"{__name__}.train:train", Run, "prepare", halves=True),
        "statistics": Part(f"{__name__}.train:count", Recipe, "look"),
    },
    real={"vqa_v2_60k": "60,000 questions with all ten answers; 11,727 of them about images at hand"},
    contradictions=CONTRADICTIONS,
    untested=UNTESTED,
)
