"""Models: final modules that return an `Output`."""

from vqabook.models.answer_mask import AnswerMask, softplus_g
from vqabook.models.lxmert import Lxmert, LxmertConfig, bert_words
from vqabook.models.pooling import Avg, Pool, PoolingConfig
from vqabook.models.question_only import QuestionBranch, QuestionOnly, QuestionOnlyConfig
from vqabook.models.san import San, SanConfig
from vqabook.models.updn import UpDn, UpDnConfig

__all__ = [
    "AnswerMask",
    "Avg",
    "Lxmert",
    "LxmertConfig",
    "Pool",
    "PoolingConfig",
    "QuestionBranch",
    "QuestionOnly",
    "QuestionOnlyConfig",
    "San",
    "SanConfig",
    "UpDn",
    "UpDnConfig",
    "bert_words",
    "softplus_g",
]
