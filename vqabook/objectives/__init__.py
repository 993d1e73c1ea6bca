"""Objectives: a paper's training rule, from model and batch to per-example losses."""

from vqabook.objectives.attention import AttentionLoss, AttentionSupervision, HopPenalty
from vqabook.objectives.base import AnnotatorCrossEntropy, CentreLoss, CrossEntropy, JointStep, Objective
from vqabook.objectives.css import Css
from vqabook.objectives.longtail import LabelLoss, long_tail
from vqabook.objectives.meta_sampler import MetaSampler
from vqabook.objectives.multiple_choice import MultipleChoice, per_member
from vqabook.objectives.rescaling import (
    BiasProduct,
    Criterion,
    Focal,
    LearnedMixin,
    LossRescaling,
    Plain,
    Reweight,
    Rubi,
)
