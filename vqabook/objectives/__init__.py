"""Objectives: a paper's training rule, from model and batch to per-example losses."""

from vqabook.objectives.base import Objective
from vqabook.objectives.rescaling import LossRescaling

__all__ = ["LossRescaling", "Objective"]
