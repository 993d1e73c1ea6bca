"""What a training rule is: an `Objective` turns a model and a batch into per-example losses."""

from __future__ import annotations

import abc
from collections.abc import Iterator

from torch import Tensor, nn

from vqabook.core import Batch


class Objective(nn.Module, abc.ABC):
    """A paper's training rule. `steps` yields per-example losses [b]; `fit` takes one optimiser step per yield.

    Almost all yield once; a method that re-reads the model after its own update (CSS) yields twice.
    An objective may own parameters (a bias gate, a discriminator): `fit` trains them too.
    """

    @abc.abstractmethod
    def steps(self, model: nn.Module, batch: Batch, progress: float) -> Iterator[Tensor]:
        """Yield losses [b] for `batch`. `progress`, in [0, 1), is the share of training done, constant in an epoch."""
