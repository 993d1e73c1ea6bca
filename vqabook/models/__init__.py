"""Models: final modules that return an `Output`."""

from vqabook.models.answer_mask import AnswerMask, softplus_g
from vqabook.models.updn import UpDn, UpDnConfig

__all__ = ["AnswerMask", "UpDn", "UpDnConfig", "softplus_g"]
