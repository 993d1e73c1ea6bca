"""Models: final modules that return an `Output`."""

from vqabook.models.answer_mask import AnswerMask, softplus_g
from vqabook.models.attentive_san import AttentiveSan, AttentiveSanConfig
from vqabook.models.heads import CosineClassifier, Decoupled, LinearModel, ScaledClassifier
from vqabook.models.lxmert import Lxmert, LxmertConfig, bert_words
from vqabook.models.members import FeatureSharing, Members
from vqabook.models.mlp import Mlp, MlpConfig
from vqabook.models.pooling import Avg, Pool, PoolingConfig
from vqabook.models.question_only import QuestionBranch, QuestionOnly, QuestionOnlyConfig
from vqabook.models.san import San, SanConfig
from vqabook.models.small_cnn import SmallCnn, SmallCnnConfig
from vqabook.models.staged import StagedResNet, Vgg, VggConfig
from vqabook.models.text import SelfAttentiveText, TextConfig
from vqabook.models.updn import UpDn, UpDnConfig
