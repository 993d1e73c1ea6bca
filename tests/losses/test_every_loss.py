"""What every public loss does alike. A new loss joins CASES and inherits every law; a test says which is missing."""

from __future__ import annotations

import inspect
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import pytest
import torch
from torch.nn import functional as F

from vqabook import losses
from vqabook.losses import Loss

C = 5
COUNTS = torch.tensor([500, 40, 3, 90, 12])
TAIL = COUNTS < 20


def logits_of(b: int) -> torch.Tensor:
    return 2 * torch.randn(b, C, generator=torch.Generator().manual_seed(b))


def ids(b: int) -> torch.Tensor:
    return torch.arange(b) % C


def scores(b: int) -> torch.Tensor:
    drawn = torch.rand(b, C, generator=torch.Generator().manual_seed(1))
    return drawn.where(drawn < 0.5, 0.0)


def maps(b: int) -> torch.Tensor:
    return logits_of(b).softmax(1)


@dataclass(frozen=True)
class Case:
    """A loss, its first argument and target of a batch of b, what else it reads of the batch, its constants."""

    loss: Callable
    target: Callable[[int], torch.Tensor]
    first: Callable[[int], torch.Tensor] = logits_of
    batch: dict[str, Callable[[int], torch.Tensor]] = field(default_factory=dict)
    constants: dict = field(default_factory=dict)

    def call(self, b: int, **more) -> torch.Tensor:
        return self.of(self.first(b), self.target(b), **more)

    def of(self, first: torch.Tensor, target: torch.Tensor, **more) -> torch.Tensor:
        torch.manual_seed(0)  # equalisation loss draws
        of_batch = {name: made(len(first)).to(first) for name, made in self.batch.items()}
        return self.loss(first, target, **{**of_batch, **self.constants, **more})


LABELS = {
    "balanced_softmax": Case(losses.balanced_softmax, ids, constants={"log_n": losses.log_counts(COUNTS)}),
    "vector_scaling": Case(
        losses.vector_scaling,
        ids,
        constants={"log_n": losses.log_counts(COUNTS), "scales": losses.vector_scales(COUNTS)},
    ),
    "balanced_sigmoid": Case(losses.balanced_sigmoid, ids, constants={"offsets": losses.sigmoid_offsets(COUNTS)}),
    "balanced_sigmoid, released": Case(
        losses.balanced_sigmoid, ids, constants={"offsets": losses.sigmoid_offsets(COUNTS), "foreground_only": True}
    ),
    "ldam": Case(losses.ldam, ids, constants={"margins": losses.ldam_margins(COUNTS), "scale": 3.0}),
    "equalisation_softmax": Case(losses.equalisation_softmax, ids, constants={"tail": TAIL, "gamma": 0.5}),
    "equalisation_sigmoid": Case(losses.equalisation_sigmoid, ids, constants={"tail": TAIL}),
}
SCORES = {
    "sigmoid_bce": Case(losses.sigmoid_bce, scores),
    "sigmoid_bce, weighted": Case(losses.sigmoid_bce, scores, constants={"weight": torch.rand(1, C) + 1}),
    "soft_cross_entropy": Case(losses.soft_cross_entropy, scores),
    "soft_cross_entropy, weighted": Case(losses.soft_cross_entropy, scores, batch={"weight": scores}),
    "focal": Case(losses.focal, scores),
    "focal, softmax": Case(losses.focal, scores, constants={"softmax": True}),
    "learned_mixin": Case(
        losses.learned_mixin, scores, batch={"bias": maps, "gate": torch.ones}, constants={"smooth": 0.3}
    ),
    "bias_product": Case(losses.bias_product, scores, batch={"bias": maps}, constants={"smooth": 0.3}),
    "bias_reweight": Case(losses.bias_reweight, scores, batch={"bias": maps}),
    "rubi": Case(losses.rubi, scores, batch={"mask": logits_of, "question_logits": logits_of}),
}
CASES = {
    **LABELS,
    **SCORES,
    "mask_loss": Case(losses.mask_loss, scores, first=maps),
    "annotator_cross_entropy": Case(
        losses.annotator_cross_entropy, lambda b: ids(b)[:, None], batch={"weight": lambda b: torch.ones(b, 1)}
    ),
    "attention_mse": Case(losses.attention_mse, maps, first=maps),
    "attention_mmd": Case(losses.attention_mmd, maps, first=maps, constants={"bandwidth": 0.3}),
    "attention_coral": Case(losses.attention_coral, maps, first=maps),
    "attention_adversarial": Case(losses.attention_adversarial, torch.ones, first=torch.zeros),
    "distillation": Case(losses.distillation, logits_of, constants={"temperature": 2.0}),
    "released_distillation": Case(losses.released_distillation, logits_of),
    "centre_loss": Case(losses.centre_loss, ids, constants={"centres": torch.randn(C, C)}),
    "bias_entropy": Case(
        lambda first, gate, **more: losses.bias_entropy(first, gate=gate, **more),
        torch.ones,
        first=maps,
        constants={"smooth": 0.3},
    ),
    "uniform_divergence": Case(lambda first, _, **more: losses.uniform_divergence(first, **more), ids),
}
each = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
each_of_labels = pytest.mark.parametrize("case", LABELS.values(), ids=LABELS)
each_of_scores = pytest.mark.parametrize("case", SCORES.values(), ids=SCORES)


def test_every_public_loss_is_here():
    public = {name for name, f in vars(losses).items() if callable(f) and f is not Loss and name.islower()}
    reduced = {name for name in public if "reduction" in inspect.signature(getattr(losses, name)).parameters}
    assert reduced == {name.split(",")[0] for name in CASES}


@each
def test_reductions(case, unchecked):
    of_each = case.call(6)
    assert of_each.shape == (6,)
    torch.testing.assert_close(case.call(6, reduction="mean"), of_each.mean())
    torch.testing.assert_close(case.call(6, reduction="sum"), of_each.sum())
    with pytest.raises(ValueError, match="reduction is one of none, mean, sum, got 'averaged'; choose one"):
        case.call(6, reduction="averaged")


@each
def test_constants_follow_the_logits(case):
    """In whatever precision constants were made, and whatever that of the logits."""
    want = case.call(6)
    made = {name: x.double() if getattr(x, "is_floating_point", bool)() else x for name, x in case.constants.items()}
    got = case.call(6, **made)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, want)
    target = case.target(6)
    wide = case.of(case.first(6).double(), target.double() if target.is_floating_point() else target)
    assert wide.dtype == torch.float64
    torch.testing.assert_close(wide.float(), want, rtol=1e-4, atol=1e-5)


def compile_all() -> None:
    """Print, as JSON, what goes wrong when each loss is one graph for batches of several sizes."""
    wrong = {}
    for name, case in CASES.items():
        torch._dynamo.reset()
        loss = partial(case.loss, **case.constants)
        compiled = torch.compile(loss, fullgraph=True, backend="eager")
        try:
            for b in (6, 9, 4):
                first = case.first(b).requires_grad_()
                torch.manual_seed(0)
                got = compiled(first, case.target(b), **{name: made(b) for name, made in case.batch.items()})
                torch.testing.assert_close(got, case.call(b))
                got.sum().backward()
                assert first.grad.isfinite().all()
        except Exception as error:  # noqa: BLE001
            wrong[name] = str(error)
    background = torch.compile(losses.balanced_sigmoid, fullgraph=True, backend="eager")
    nan = background(logits_of(3), torch.tensor([0, C, 77]), torch.zeros(C)).isnan().tolist()
    print(json.dumps({"wrong": wrong, "nan": nan}))


def test_one_graph_for_every_batch():
    """In a process of its own, since shapes that are checked at run time are no graph."""
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["wrong"] == {}
    assert told["nan"] == [False, False, True]  # no label is looked at there, as on a GPU


@each
def test_a_loss_is_a_module(case):
    module = Loss(case.loss, **case.constants, reduction="mean")
    of_batch = {name: made(6) for name, made in case.batch.items()}
    torch.manual_seed(0)
    torch.testing.assert_close(module(case.first(6), case.target(6), **of_batch), case.call(6, reduction="mean"))
    tensors = {name for name, value in case.constants.items() if isinstance(value, torch.Tensor)}
    assert {name for name, _ in module.named_buffers()} == tensors and not module.state_dict()
    if "<lambda>" not in case.loss.__qualname__:
        again = pickle.loads(pickle.dumps(module))
        torch.manual_seed(0)
        torch.testing.assert_close(again(case.first(6), case.target(6), **of_batch), case.call(6, reduction="mean"))


def test_a_module_refuses_what_its_loss_does_not_take():
    with pytest.raises(TypeError, match="unexpected keyword argument 'counts'"):
        Loss(losses.balanced_softmax, counts=COUNTS)
    with pytest.raises(ValueError, match="reduction is one of none, mean, sum, got 'average'"):
        Loss(losses.ldam, reduction="average")
    assert "balanced_softmax, log_n, exponent=0.25" in repr(
        Loss(losses.balanced_softmax, log_n=losses.log_counts(COUNTS), exponent=0.25)
    )


WRONG_SHAPES = {
    "one column": lambda target: target[:, None] if target.dim() == 1 else target[:, :1],
    "one row": lambda target: target[:1],
    "a scalar": lambda target: target.reshape(-1)[0],
    "another batch": lambda target: torch.cat([target, target]),
    "transposed": lambda target: target.T if target.dim() == 2 else target.expand(6, 6),
}


@pytest.mark.parametrize("wrong", WRONG_SHAPES.values(), ids=WRONG_SHAPES)
@each
def test_other_shapes_are_refused(case, wrong, unchecked, request):
    if "uniform_divergence" in request.node.name:
        return  # it reads no target
    target = wrong(case.target(6))
    if target.shape == case.target(6).shape:
        return  # one answer an example
    if "bias_entropy" in request.node.name and target.shape == (6, 1):
        return  # a gate may be a column
    with pytest.raises(ValueError, match="got"):
        case.of(case.first(6), target)


@each_of_scores
def test_class_ids_are_no_scores(case, unchecked):
    """[b] would broadcast where b is the number of answers, and 0 or 1 of the right shape is an integer."""
    with pytest.raises(
        ValueError, match=r"target has the shape of logits, \[5, 5\], got \[5\] of torch.int64; make class"
    ):
        case.of(logits_of(C), ids(C))
    with pytest.raises(ValueError, match="target holds scores, floats, got torch.int64; write target.float"):
        case.of(logits_of(C), torch.ones(C, C).long())
    with pytest.raises(ValueError, match=r"logits of soft-labelled answers are \[b, a\], got \[2, 5, 3, 3\]"):
        losses.sigmoid_bce(torch.zeros(2, C, 3, 3), torch.zeros(2, C, 3, 3))


@each_of_scores
@pytest.mark.parametrize("value", [-0.5, float("nan"), 1.5])
def test_scores_out_of_range(case, value, request):
    target = scores(6)
    target[2, 3] = value
    if value > 1 and ("soft" in request.node.name or "rubi" in request.node.name):
        assert case.of(logits_of(6), target).isfinite().all()  # -Σ a log p takes any weights a
        return
    with pytest.raises(ValueError, match=f"a score in target is from 0 to (1|inf), got {value}"):
        case.of(logits_of(6), target)


@each_of_labels
def test_labels_outside_the_classes(case):
    background = "sigmoid" in case.loss.__name__
    for label in (-1, C + background, 1229):
        with pytest.raises(ValueError, match=f"target is from 0 to {C - 1 + background}, .*got {label}"):
            case.of(logits_of(6), torch.tensor([0, 1, label, 2, 3, 4]))


@each_of_labels
def test_labels_are_integers_of_any_kind(case, unchecked):
    want = case.call(6)
    for kind in (torch.uint8, torch.int8, torch.int16, torch.int32):
        torch.testing.assert_close(case.of(logits_of(6), ids(6).to(kind)), want)
    for wrong in (ids(6).float(), ids(6) > 2):
        with pytest.raises(ValueError, match=r"target holds class ids, an integer \[6\]"):
            case.of(logits_of(6), wrong)


@each_of_labels
def test_ignored_rows_cost_nothing_and_are_in_no_mean(case):
    whole, target = case.call(6), ids(6)
    if "sigmoid" in case.loss.__name__:  # a detector's labels: none is ignored unless it is said which
        with pytest.raises(ValueError, match="target is from 0 to 5, got -100; count from 0"):
            case.of(logits_of(6), target - 100)
        case = replace(case, constants=case.constants | {"ignore_index": -100})
    target[[1, 4]] = -100
    first = logits_of(6).requires_grad_()
    got = case.of(first, target)
    kept = torch.tensor([0, 2, 3, 5])
    torch.testing.assert_close(got[kept], whole[kept])
    assert got[[1, 4]].tolist() == [0, 0]
    torch.testing.assert_close(case.of(first, target, reduction="mean"), whole[kept].mean())
    (gradient,) = torch.autograd.grad(case.of(first, target, reduction="mean"), first)
    assert not gradient[[1, 4]].any() and gradient[kept].any(1).all()
    assert case.of(first, target.clamp(max=-100), reduction="mean") == 0  # of none
    other = case.of(first, target.where(target != -100, 255), ignore_index=255)
    torch.testing.assert_close(other, got)


@each_of_labels
def test_dense_logits_are_their_pixels(case, request):
    logits = torch.randn(2, C, 3, 4, generator=torch.Generator().manual_seed(0))
    target = torch.arange(24).reshape(2, 3, 4) % C
    got = case.of(logits, target)
    assert got.shape == (2, 3, 4)
    flat = case.of(logits.permute(0, 2, 3, 1).reshape(24, C), target.flatten())
    torch.testing.assert_close(got.flatten(), flat)
    torch.testing.assert_close(case.of(logits, target, reduction="mean"), flat.mean())


@each_of_labels
def test_shares_of_classes(case, unchecked):
    """One-hot shares are the label; where a loss of shares is linear in them, a mixture's is the mixture."""
    if case.loss is losses.ldam:
        with pytest.raises(ValueError, match="has a margin for each label, got shares of classes; mix its losses"):
            case.of(logits_of(6), F.one_hot(ids(6), C).float())
        return
    one_hot, other = F.one_hot(ids(6), C).float(), F.one_hot(ids(6).flip(0), C).float()
    torch.testing.assert_close(case.of(logits_of(6), one_hot), case.call(6))
    if case.loss in (losses.balanced_softmax, losses.balanced_sigmoid):
        mixed = case.of(logits_of(6), 0.3 * one_hot + 0.7 * other)
        torch.testing.assert_close(mixed, 0.3 * case.call(6) + 0.7 * case.of(logits_of(6), other))


def test_several_labels_under_sigmoids():
    """By hand: equal counts leave binary cross-entropies; a tail class hears no "no" unless the row is background."""
    target = torch.tensor([[True, False, True], [False, False, False]])
    zeros, tail = torch.zeros(2, 3), torch.tensor([False, True, False])
    half = torch.tensor(2.0).log()
    torch.testing.assert_close(
        losses.balanced_sigmoid(zeros, target, torch.zeros(3)), torch.stack([3 * half, 3 * half])
    )
    torch.testing.assert_close(losses.equalisation_sigmoid(zeros, target, tail), torch.stack([2 * half, 3 * half]))
    logits = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    want = F.binary_cross_entropy_with_logits(logits - torch.ones(3), target.float(), reduction="none").sum(1)
    torch.testing.assert_close(losses.balanced_sigmoid(logits, target, torch.ones(3)), want)


@pytest.mark.parametrize("name", [*LABELS, *SCORES, "annotator_cross_entropy"])
def test_an_answer_that_is_ruled_out(name):
    """A logit of -inf where the target is 0 costs nothing; where it is not, more than is finite."""
    case = CASES[name]
    target = torch.zeros(4, C)
    target[:, 0] = 1
    target = target if name in SCORES else torch.zeros(4, dtype=torch.long)
    target = target[:, None] if name.startswith("annotator") else target
    if name == "equalisation_softmax":
        case = Case(case.loss, case.target, constants={"tail": torch.zeros(C, dtype=torch.bool)})
    logits = logits_of(4)
    logits[:, 3] = -torch.inf
    logits.requires_grad_()
    loss = case.of(logits, target)
    loss.sum().backward()
    assert loss.isfinite().all() and logits.grad.isfinite().all()
    near = logits.detach().clone()
    near[:, 3] = -300
    torch.testing.assert_close(loss, case.of(near, target))
    wrong = logits_of(4)
    wrong[:, 0] = -torch.inf
    if name != "soft_cross_entropy, weighted":  # these weigh it nothing
        assert not case.of(wrong, target).isfinite().any()


NAN = float("nan")
NUMBERS = {
    "balanced_softmax": ("exponent", (NAN, -1.0, torch.inf)),
    "ldam": ("scale", (NAN, 0.0, -1.0, torch.inf)),
    "equalisation_softmax": ("gamma", (NAN, -0.1, 1.1)),
    "focal": ("gamma", (NAN, -1.0, torch.inf)),
    "focal, softmax": ("alpha", (NAN, -1.0, torch.inf)),
    "learned_mixin": ("smooth", (NAN, 0.0, -1.0)),
    "bias_product": ("smooth", (NAN, 0.0)),
    "bias_entropy": ("smooth", (NAN, 0.0)),
    "rubi": ("question_weight", (NAN, -1.0)),
    "attention_mmd": ("bandwidth", (NAN, 0.0, -1.0, torch.inf)),
    "distillation": ("temperature", (NAN, 0.0, -1.0)),
    "released_distillation": ("temperature", (NAN, 0.0, -1.0)),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_that_mean_nothing(name):
    parameter, values = NUMBERS[name]
    for value in values:
        with pytest.raises(ValueError, match=f"{parameter} is a finite number .*, got {value}"):
            CASES[name].call(4, **{parameter: value})


def test_words_that_mean_nothing(unchecked):
    with pytest.raises(ValueError, match="over_answers is one of sum, mean, got 'average'; choose one"):
        losses.mask_loss(maps(2), scores(2), over_answers="average")
    with pytest.raises(ValueError, match="of is one of votes, scores, got 'vote'"):
        losses.annotator_weights(torch.tensor([[3, 2]]), of="vote")


CONSTANTS = {
    "log_counts": losses.log_counts,
    "sigmoid_offsets": losses.sigmoid_offsets,
    "released_sigmoid_offsets": partial(losses.released_sigmoid_offsets, n_images=10**9),
    "inverse_weights": losses.inverse_weights,
    "effective_weights": losses.effective_weights,
    "effective_weights, all alike": partial(losses.effective_weights, beta=0),
    "ldam_margins": losses.ldam_margins,
}


@pytest.mark.parametrize("made", CONSTANTS.values(), ids=CONSTANTS)
def test_constants_are_single_and_finite(made):
    """In single precision, from counts of any kind; computed in double, so that large counts lose nothing."""
    counts = torch.tensor([2**24 + 1, 2**24, 3])
    values = made(counts)
    assert values.dtype == torch.float32 and values.isfinite().all()
    torch.testing.assert_close(made(counts.double()), values)
    assert F.cross_entropy(torch.zeros(2, 3), torch.tensor([0, 2]), values).dtype == torch.float32
    for bad in (NAN, torch.inf, 0.0, -3.0):
        with pytest.raises(ValueError, match=f"every class has training rows: class 1 has {bad:g}; leave it out"):
            made(torch.tensor([3.0, bad, 2.0]))


def test_constants_of_other_classes_are_refused(unchecked):
    for name in ("balanced_softmax", "balanced_sigmoid", "ldam", "equalisation_softmax", "equalisation_sigmoid"):
        parameter = next(iter(LABELS[name].constants))
        other = LABELS[name].constants[parameter][:4]
        with pytest.raises(ValueError, match=rf"{parameter} has a value for each class, \[5\], got \[4\]; make it of"):
            LABELS[name].call(6, **{parameter: other})


def test_a_bias_of_one_everywhere_weighs_nothing():
    logits, target = logits_of(6).requires_grad_(), scores(6)
    loss = losses.bias_reweight(logits, target, bias=torch.ones(6, C))
    loss.sum().backward()
    assert loss.tolist() == [0.0] * 6 and not logits.grad.any()
    with pytest.raises(ValueError, match="a bias is from 0 to 1, got 1.5"):
        losses.bias_reweight(logits, target, bias=torch.full((6, C), 1.5))


def test_ids_that_index_tables_are_of_their_rows():
    kind, answer, score = torch.tensor([0, 2]), torch.tensor([[0], [1]]), torch.ones(2, 1)
    for ids_of, message in (((kind, answer), "a question type is from 0 to 1, got 2"),
                            ((kind.clamp(max=1), answer - 1), "an answer is from 0 to 4, got -1")):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            losses.bias_table(*ids_of, score, n_types=2, n_answers=5)
        with pytest.raises(ValueError, match=message):
            losses.type_counts(*ids_of, score.long(), n_types=2, n_answers=5)


if __name__ == "__main__":
    compile_all()
