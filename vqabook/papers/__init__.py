"""The papers, a package each with its `PAPER`; imported when asked for, since they bring torch."""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING

from vqabook.extras import told_if_missing

if TYPE_CHECKING:
    from vqabook.papers.paper import Paper

PAPERS = ("loss_rescaling", "soft_cross_entropy", "attention_supervision", "mcl_kd", "balanced_activation")
OURS = ("arena",)  # what is no paper, and has runs and a page like one
PAGES = {"class_imbalance": "loss_rescaling", **{name: name for name in (*PAPERS, *OURS)}}  # page -> paper


def page_of(notebook: str) -> str | None:
    """The page that a notebook shows, by its name: a story and its evidence show one. None: a page without runs.

    `02_loss_rescaling` and `02_1_loss_rescaling_tables` show the runs and claims of `loss_rescaling`.
    """
    name = re.sub(r"^\d+_(\d+_)?", "", notebook)
    return next((page for page in PAGES if f"{name}_".startswith(f"{page}_")), None)


def paper_of(page: str) -> Paper:
    """The paper behind a page, or of a name."""
    if page not in PAGES:
        raise ValueError(f"pages are {', '.join(PAGES)}; got {page!r}")
    with told_if_missing():
        return import_module(f"{__name__}.{PAGES[page]}").PAPER
