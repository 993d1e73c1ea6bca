"""One module a paper; `PAGES` says which module produces the records of each page of the book."""

import importlib
from types import ModuleType

PAGES = {
    "class_imbalance": "loss_rescaling",
    "loss_rescaling": "loss_rescaling",
    "soft_cross_entropy": "soft_cross_entropy",
    "attention_supervision": "attention_supervision",
    "mcl_kd": "mcl_kd",
    "balanced_activation": "balanced_activation",
}  # notebook name behind its number -> module


def paper_of(page: str) -> ModuleType:
    """The paper module behind a page."""
    if page not in PAGES:
        raise ValueError(f"pages are {', '.join(PAGES)}; got {page!r}")
    return importlib.import_module(f"vqabook.papers.{PAGES[page]}")
