"""Models: final modules that return an `Output`."""

from vqabook.models.answer_mask import AnswerMask, softplus_g
from vqabook.models.heads import CosineClassifier, Decoupled, LinearModel, ScaledClassifier
from vqabook.models.images import SmallCnn, SmallCnnConfig, Vgg, VggConfig
from vqabook.models.lxmert import Lxmert, LxmertConfig, bert_words
from vqabook.models.members import FeatureSharing, Members
from vqabook.models.pooling import Avg, Pool, PoolingConfig
from vqabook.models.san import AttentiveSan, AttentiveSanConfig, Mlp, MlpConfig, San, SanConfig
from vqabook.models.updn import QuestionBranch, QuestionOnly, QuestionOnlyConfig, UpDn, UpDnConfig
from vqabook.models.words import SelfAttentiveText, TextConfig
