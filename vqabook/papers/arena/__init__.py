"""The arena: every rule for long tails of the five papers, and their rivals, under one protocol. Page 07; ours."""

from vqabook.papers.arena.claims import CLAIMS, TITLE
from vqabook.papers.arena.recipes import ContestRun, list_recipes
from vqabook.papers.arena.setting import NAME, PROFILES, REAL, Setting
from vqabook.papers.paper import Paper, Part

PAPER = Paper(
    name=NAME,
    title=TITLE,
    pages=("arena",),
    setting=Setting,
    profiles=PROFILES,
    recipes=list_recipes,
    claims=CLAIMS,
    live=("arena-digits-balanced-softmax",),
    parts={"train": Part(f"{__name__}.train:train", ContestRun, "prepare")},
    real=REAL,
)
