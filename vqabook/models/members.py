"""Several models of one architecture as one: their parameters side by side, one product for all members at every layer.

Training five small networks one after the other pays every layer's overhead five times. Here layers run once, batched
over members by `torch.func`; what it cannot batch, LSTMs and GRUs over packed words, is `models.recurrent`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F
from torch.nn.utils.parametrize import is_parametrized

from vqabook.core import Output
from vqabook.models.recurrent import MemberRecurrent, Packed

WHOLE = -1  # weight_norm's own word for dim=None, one scale for the whole matrix
KEPT = 0.7  # of what others know, by feature sharing: Lee et al. 2017, released code


class Members(nn.Module):
    """`m` models with the same inputs; logits are [m, b, c], attention, where they attend, [m, b, o].

    Starts from copies of their weights; `state_dict` has a model's names and a first dimension more. Models that read
    words have them as last input and offer `encode`, by an LSTM without biases (San) or a GRU (UpDn). `share` mixes
    members' features on the way, of models that offer `early` and `late`. `in_turn` runs members one after the other:
    the same numbers, faster where a layer of one fills the machine, as wide convolutions do on a CPU.
    """

    def __init__(self, models: Sequence[nn.Module], *, share: FeatureSharing | None = None, in_turn: bool = False):
        super().__init__()
        _check_alike(models)
        self.share, self.in_turn, (first, *_) = share, in_turn, models
        if share is not None and not hasattr(first, "late"):
            raise ValueError(
                f"features are shared between a model's early and late part, {type(first).__name__} has none; use a "
                "network for images, as ResNet or Vgg are"
            )
        readers = [model for model in models if isinstance(model, _ReadsWords)]
        self.words = _MemberWords(readers) if readers else None
        self.asked = _Asked(deepcopy(first))
        self.norms = _MemberNorms(models)
        if self.words is not None:
            del self.asked.body.words, self.asked.body.question_encoder
        for name in self.norms.layers:
            _replace_by_plain(self.asked.body, name)
        parameters, buffers = stack_module_state(list(models))
        for name, _ in [*self.asked.body.named_parameters()]:
            _put(self.asked.body, name, nn.Parameter(parameters[name].detach()))
        for name, _ in [*self.asked.body.named_buffers()]:
            _put(self.asked.body, name, buffers[name])

    def forward(self, *inputs: Tensor) -> Output:
        if self.words is not None:

            def answer(body: nn.Module, question: Tensor) -> Output:
                object.__setattr__(body, "encode", lambda words: question)
                return body(*inputs)

            return Output(**self._each(answer, self.words(inputs[-1])))
        if self.share is None:
            return Output(**self._each(lambda body: body(*inputs)))
        early = self._each(lambda body: body.early(*inputs))["features"]
        return Output(**self._each(lambda body, x: body.late(x), self.share(early)))

    def _each(self, ask: Callable[..., Output | Tensor], *own: Tensor) -> dict[str, Tensor]:
        """What `ask` gets of every member, from inputs [m, ...] of its own: the heads it has, or its "features"."""

        def run(parameters: dict, buffers: dict, *own: Tensor) -> dict[str, Tensor]:
            out = functional_call(self.asked, ({**parameters}, {**buffers}), (ask, *own))
            if isinstance(out, Tensor):
                return {"features": out}
            heads = {"logits": out.logits, "attention": out.attention}
            return {name: head for name, head in heads.items() if head is not None}

        weights = {f"body.{name}": weight for name, weight in self.norms().items()}
        parameters, buffers = dict(self.asked.named_parameters()), dict(self.asked.named_buffers())
        if self.in_turn:
            return _run_in_turn(run, {**parameters, **weights}, buffers, *own)
        return vmap(run, randomness="different")({**parameters, **weights}, buffers, *own)

    @torch.no_grad()
    def single(self, i: int, like: nn.Module) -> nn.Module:
        """Member `i` as a model of its own; `like` is one of the architecture, whose weights are overwritten."""
        state = {name: value[i] for name, value in self.asked.body.state_dict().items()} | self.norms.single(i)
        if self.words is not None:
            state |= self.words.single(i)
        like.load_state_dict(state)
        return like


class FeatureSharing(nn.Module):
    """Every member adds to its features a random part of all others' (Lee et al. 2017, Sec. 3.2; Mun et al., 4.2).

    h_m + Σ_{n≠m} mask_mn h_n, each element of each mask 1 with probability `keep`. The release draws at test time, too:
    `at_test`. Otherwise others count as their mean in eval mode.
    """

    def __init__(self, *, keep: float = KEPT, at_test: bool = True):
        super().__init__()
        if not 0 <= keep <= 1:
            raise ValueError(f"keep is the probability that a feature is shared, in [0, 1], got {keep}; 0 shares none")
        self.keep, self.at_test = keep, at_test

    def forward(self, features: Float[Tensor, "m b *rest"]) -> Float[Tensor, "m b *rest"]:
        if not self.training and not self.at_test:
            return features + self.keep * (features.sum(0) - features)
        mixed = []
        for m, own in enumerate(features):
            for n, other in enumerate(features):
                if n != m:
                    own = own + other * torch.empty_like(other).bernoulli_(self.keep)
            mixed.append(own)
        return torch.stack(mixed)


@runtime_checkable
class _ReadsWords(Protocol):
    """A model that reads words by parts of these names; one with an LSTM has a `dropout` for what it reads."""

    words: nn.Embedding
    question_encoder: nn.LSTM | nn.GRU

    def encode(self, words: Tensor) -> Tensor: ...

    def get_submodule(self, target: str) -> nn.Module: ...


class _MemberWords(nn.Module):
    """Every member's `encode` of the same words."""

    def __init__(self, models: Sequence[_ReadsWords]):
        super().__init__()
        self.vectors = nn.Parameter(torch.stack([model.words.weight.detach() for model in models]))
        self.encoder = MemberRecurrent([model.question_encoder for model in models])
        self.bent = self.encoder.lstm  # San reads tanh of a word's vector, and a one in place of biases
        dropout = models[0].get_submodule("dropout") if self.bent else None
        self.dropout: float = dropout.p if isinstance(dropout, nn.Dropout) else 0.0

    def forward(self, words: Int[Tensor, "b t"]) -> Float[Tensor, "m b h"]:
        packed = Packed.of(words.ne(0).sum(1).clamp(min=1), words.shape[1])
        ids = words.flatten()[packed.at]
        if self.training and self.dropout:  # every word is dropped out on its own
            at = torch.arange(len(ids), device=ids.device)
        else:
            ids, at = ids.unique(return_inverse=True)
        there = ids.ne(0).to(self.vectors.dtype)[:, None]
        read = F.dropout(self.vectors.index_select(1, ids), self.dropout, self.training)
        read = (read.tanh() if self.bent else read) * there  # padding moves nothing
        if self.bent:
            read = torch.cat([read, there.expand(len(read), *there.shape)], -1)
        return self.encoder(read, replace(packed, at=at))

    def single(self, i: int) -> dict[str, Tensor]:
        """The state of a model's `words` and `question_encoder`."""
        named = {f"question_encoder.{name}": value for name, value in self.encoder.single(i).items()}
        return named | {"words.weight": self.vectors[i]}


class _MemberNorms(nn.Module):
    """The weights of weight-normalised layers, g v / |v| with one scale a matrix, of all members at once."""

    def __init__(self, models: Sequence[nn.Module]):
        super().__init__()
        first = dict(models[0].named_modules())
        self.layers = [name for name, module in first.items() if is_parametrized(module, "weight")]
        scales, directions = nn.ParameterList(), nn.ParameterList()
        for path in (f"{name}.parametrizations.weight" for name in self.layers):
            kind = first[f"{path}.0"]
            if getattr(kind, "dim", None) != WHOLE:
                raise ValueError(f"members know weight_norm(dim=None) alone, got {kind}; use that")
            norms = [model.get_submodule(path) for model in models]
            scales.append(torch.stack([norm.get_parameter("original0").detach() for norm in norms]))
            directions.append(torch.stack([norm.get_parameter("original1").detach() for norm in norms]))
        self.scales, self.directions = scales, directions

    def forward(self) -> dict[str, Tensor]:
        """Weights [m, ...] by their names in a model."""
        weights = {}
        for name, scale, direction in zip(self.layers, self.scales, self.directions, strict=True):
            length = torch.linalg.vector_norm(direction.flatten(1), dim=1)
            weights[f"{name}.weight"] = direction * (scale.view(-1) / length).view(-1, *[1] * (direction.dim() - 1))
        return weights

    def single(self, i: int) -> dict[str, Tensor]:
        names = [f"{name}.parametrizations.weight.original" for name in self.layers]
        parts = zip(names, self.scales, self.directions, strict=True)
        return {f"{name}{k}": value[i] for name, *both in parts for k, value in enumerate(both)}


class _Asked(nn.Module):
    """A model that is asked by a function of it: `functional_call` knows `forward` alone."""

    def __init__(self, body: nn.Module):
        super().__init__()
        self.body = body

    def forward(self, ask: Callable[..., Output | Tensor], *own: Tensor) -> Output | Tensor:
        return ask(self.body, *own)


def _run_in_turn(run: Callable, parameters: dict, buffers: dict, *own: Tensor) -> dict[str, Tensor]:
    """What `vmap(run)` returns, member by member; buffers are written in place."""
    apart = [{name: value.unbind() for name, value in kind.items()} for kind in (parameters, buffers)]
    m = len(next(iter(parameters.values())))
    each = [[{name: value[i] for name, value in kind.items()} for kind in apart] for i in range(m)]
    outs = [run(*state, *(x[i] for x in own)) for i, state in enumerate(each)]
    return {name: torch.stack([out[name] for out in outs]) for name in outs[0]}


def _replace_by_plain(body: nn.Module, name: str) -> None:
    """Put a linear layer without a weight of its own in the place of a parametrised one; the weight comes with a call.

    `remove_parametrizations` would do it to all copies: they share their class.
    """
    old = body.get_submodule(name)
    if not isinstance(old, nn.Linear):
        raise ValueError(f"members know weight_norm of linear layers alone, got {old}; use it on those")
    plain = nn.Linear(old.in_features, old.out_features, bias=old.bias is not None)
    plain.register_parameter("weight", None)
    body.set_submodule(name, plain)


def _put(body: nn.Module, name: str, value: Tensor) -> None:
    owner, _, leaf = name.rpartition(".")
    setattr(body.get_submodule(owner), leaf, value)


def _check_alike(models: Sequence[nn.Module]) -> None:
    if not models:
        raise ValueError("members are one model or more, got none")
    first, *others = ({k: tuple(v.shape) for k, v in model.state_dict().items()} for model in models)
    for i, other in enumerate(others, start=1):
        if other != first:
            name = next((k for k in first if other.get(k) != first[k]), next(iter(other), "nothing"))
            raise ValueError(
                f"members are alike, with the same answers: {name} of model {i} has shape {other.get(name)}, that of "
                f"model 0 {first.get(name)}; train them on the same answers and sizes"
            )
