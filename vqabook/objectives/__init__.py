"""Objectives: a paper's training rule, from model and batch to per-example losses."""

from vqabook.objectives.attention import AttentionLoss, AttentionSupervision, HopPenalty
from vqabook.objectives.base import Objective
from vqabook.objectives.classification import AnnotatorCrossEntropy, CentreLoss, CrossEntropy
from vqabook.objectives.criteria import BiasProduct, Criterion, Focal, LearnedMixin, Plain, Reweight, Rubi
from vqabook.objectives.css import Css
from vqabook.objectives.longtail import LabelLoss, long_tail
from vqabook.objectives.multiple_choice import MultipleChoice, per_member
from vqabook.objectives.rescaling import LossRescaling
