"""Objectives: a paper's training rule, from model and batch to per-example losses."""

from vqabook.objectives.annotators import AnnotatorCrossEntropy
from vqabook.objectives.attention import AttentionLoss, AttentionSupervision, HopPenalty
from vqabook.objectives.base import Objective
from vqabook.objectives.criteria import BiasProduct, Criterion, Focal, LearnedMixin, Plain, Reweight, Rubi
from vqabook.objectives.css import Css
from vqabook.objectives.longtail import LabelLoss, long_tail
from vqabook.objectives.multiple_choice import MultipleChoice, per_member
from vqabook.objectives.rescaling import LossRescaling

__all__ = [
    "AnnotatorCrossEntropy",
    "AttentionLoss",
    "AttentionSupervision",
    "BiasProduct",
    "Criterion",
    "Css",
    "Focal",
    "HopPenalty",
    "LabelLoss",
    "LearnedMixin",
    "LossRescaling",
    "MultipleChoice",
    "Objective",
    "Plain",
    "Reweight",
    "Rubi",
    "long_tail",
    "per_member",
]
