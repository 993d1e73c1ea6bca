"""CSS: its masks against plain loops over rows, the two steps of a batch, and that helper passes leave no trace."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from vqabook.core import Batch, Output, Table
from vqabook.losses import in_type, sigmoid_bce
from vqabook.models import AnswerMask, QuestionOnly, QuestionOnlyConfig, UpDn, UpDnConfig
from vqabook.objectives import LearnedMixin, LossRescaling, Objective
from vqabook.objectives.css import Css, critical_regions, critical_word, remove_answers
from vqabook.training.fit import FitConfig, fit, predict, soft_score

MASK, N_WORDS, ANSWERS, REGIONS, WORDS, TYPE_WORDS = 20, 21, 7, 6, 8, torch.tensor([0, 2, 4])


def table(n: int = 48, *, seed: int = 0, hint: bool = False, double: bool = False) -> Table:
    """Questions of different words, 2 to 8 of them, on images of 1 to 6 regions."""
    rng = torch.Generator().manual_seed(seed)
    regions = torch.randn(n, REGIONS, 5, generator=rng, dtype=torch.float64 if double else torch.float32)
    regions[torch.arange(REGIONS) >= torch.randint(1, REGIONS + 1, (n, 1), generator=rng)] = 0
    words = torch.stack([torch.randperm(MASK - 2, generator=rng)[:WORDS] + 2 for _ in range(n)])
    words[torch.arange(WORDS) >= torch.randint(2, WORDS + 1, (n, 1), generator=rng)] = 0
    target = torch.randint(0, 4, (n, ANSWERS), generator=rng).sub(1).clamp(min=0) * 0.3
    side = {"question_type": torch.randint(0, len(TYPE_WORDS), (n,), generator=rng)}
    if hint:
        side["hint"] = torch.rand(n, REGIONS, generator=rng)
    return Table((regions, words), target.to(regions.dtype), ANSWERS, side)


def updn(*, dropout: float = 0.0, seed: int = 0, double: bool = False) -> UpDn:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        sizes = {"feature": 5, "hidden": 12, "word": 6}
        model = UpDn(UpDnConfig(N_WORDS, ANSWERS, attention_dropout=dropout, classifier_dropout=dropout, **sizes))
    return model.double() if double else model


def css(base: Objective | None = None, **options) -> Css:
    return Css(base or LossRescaling("bce"), type_words=TYPE_WORDS, mask_word=MASK, **options)


def whole(rows: Table) -> Batch:
    return rows.batch(torch.arange(len(rows)))


class Spy(Objective):
    """The base loss; keeps the batches that it is given and the first weights that it meets."""

    def __init__(self):
        super().__init__()
        self.base, self.batches, self.weights = LossRescaling("bce"), [], []

    def steps(self, model: nn.Module, batch: Batch, progress: float) -> Iterator[Tensor]:
        self.batches.append(batch)
        self.weights.append(next(model.parameters()).detach().clone())
        yield from self.base.steps(model, batch, progress)


def both(model: nn.Module, batch: Batch, **options) -> tuple[Batch, tuple[Tensor, ...]]:
    """The counterfactual batch, and the inputs from which the model answers between the two steps; no update."""
    spy, seen = Spy(), []
    handle = model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    try:
        first, second = css(spy, **options).steps(model, batch, 0.0)
    finally:
        handle.remove()
    assert first.shape == second.shape == (len(batch.target),)
    assert len(seen) == 3 and len(spy.batches) == 2
    return spy.batches[1], seen[1]


def critical_by_hand(importance: list, candidate: list, order: list, mass: float, heat: float) -> set[int]:
    """One image: take regions from the most important one on, until their share of the whole is large enough."""
    places = [i for i in range(len(importance)) if candidate[i]]
    if not places:
        return set()
    ranked = sorted(places, key=lambda i: -importance[i])
    whole = sum(math.exp(heat * (importance[i] - importance[ranked[0]])) for i in places)
    taken, before = 0, 0.0
    for i in ranked:
        held = before + math.exp(heat * (importance[i] - importance[ranked[0]])) / whole
        if taken and held > mass:
            break
        taken, before = taken + 1, held
    return set(sorted(places, key=lambda i: -order[i])[:taken])


def sets(mask: Tensor) -> list[set[int]]:
    return [{i for i, inside in enumerate(row) if inside} for row in mask.tolist()]


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize(("mass", "heat"), [(0.65, 10.0), (0.65, 1.0), (0.31, 0.5), (0.999, 0.1)])
def test_critical_regions_are_those_of_a_plain_loop(ordered, mass, heat):
    rng = torch.Generator().manual_seed(0)
    importance = torch.randn(300, 9, generator=rng, dtype=torch.float64).mul(5).round().div(5)  # with many ties
    candidate = torch.rand(300, 9, generator=rng) < torch.rand(300, 1, generator=rng)  # some rows have none
    order = torch.randint(0, 5, (300, 9), generator=rng).double() if ordered else None
    got = critical_regions(importance, candidate, order=order, mass=mass, temperature=heat)
    by = importance if order is None else order
    rows = zip(importance.tolist(), candidate.tolist(), by.tolist(), strict=True)
    assert sets(got) == [critical_by_hand(*row, mass, heat) for row in rows]
    assert not candidate.any(1).all() and (got.sum(1) > 1).any()  # the odd cases occur


def test_critical_regions_golden():
    importance = torch.tensor([[0.2, 0.5, 0.3]]).log()  # their shares, at temperature 1
    everywhere = torch.ones(1, 3, dtype=torch.bool)

    def critical(mass: float, **options) -> set[int]:
        return sets(critical_regions(importance, everywhere, mass=mass, temperature=1.0, **options))[0]

    assert critical(0.4) == critical(0.65) == {1}  # 0.5, then 0.8
    assert critical(0.81) == {1, 2}
    assert critical(0.81, order=torch.tensor([[3.0, 1.0, 2.0]])) == {0, 2}
    assert sets(critical_regions(importance, everywhere, mass=0.65, temperature=100.0))[0] == {1}


def test_critical_word_is_that_of_a_plain_loop():
    rng = torch.Generator().manual_seed(0)
    importance = torch.randn(300, 7, generator=rng).mul(2).round()
    candidate = torch.rand(300, 7, generator=rng) < torch.rand(300, 1, generator=rng)
    got = critical_word(importance, candidate)
    for row, inside, mask in zip(importance.tolist(), candidate.tolist(), got.tolist(), strict=True):
        best = max((i for i in range(7) if inside[i]), key=lambda i: row[i], default=None)
        assert mask == [i == best for i in range(7)]


def test_answers_that_the_model_gives_are_no_longer_right():
    target = torch.tensor([[0.9, 0.0, 0.3, 1.0], [0.0, 0.6, 0.0, 0.0]])
    logits = torch.tensor([[5.0, 4.0, -1.0, 0.0], [0.0, 9.0, 8.0, -9.0]])
    assert remove_answers(target, logits, 2).equal(torch.tensor([[0.0, 0.0, 0.3, 1.0], [0.0] * 4]))
    assert remove_answers(target, -logits, 1).equal(torch.tensor([[0.9, 0.0, 0.0, 1.0], [0.0, 0.6, 0.0, 0.0]]))
    assert not remove_answers(target, logits, 5).any()  # more than there are
    assert target[0, 0] == 0.9  # the batch keeps its own


def slope(model: UpDn, regions: Tensor, words: Tensor, target: Tensor, change) -> float:
    """Central difference of the sum of the right answers' logits; `change(step)` moves what is asked about."""
    logits = []
    for step in (1e-4, -1e-4):
        change(step)
        logits.append(float(model(regions[None], words[None]).logits[0][target > 0].sum()))
        change(-step)
    return (logits[0] - logits[1]) / 2e-4


@pytest.mark.parametrize("heat", [10.0, 1000.0])
def test_counterfactual_images_are_those_of_a_plain_loop(heat):
    rows, model = table(24, double=True), updn(double=True)
    got, (only, _) = both(model, whole(rows), q_share=0.0, top_answers=2, temperature=heat)
    with torch.no_grad():
        for i, (regions, words) in enumerate(zip(*rows.inputs, strict=True)):
            real = regions.ne(0).any(-1)
            moved = regions.clone()

            def change(step: float, o: int = 0, moved: Tensor = moved) -> None:
                moved[o] += step

            importance = [
                slope(model, moved, words, rows.target[i], lambda step, o=o, c=change: c(step, o)) if real[o] else 0.0
                for o in range(REGIONS)
            ]
            critical = critical_by_hand(importance, real.tolist(), importance, 0.65, heat)
            left, kept = regions.clone(), torch.zeros_like(regions)
            for o in critical:
                left[o], kept[o] = 0.0, regions[o]
            assert got.inputs[0][i].equal(left) and only[i].equal(kept)
            assert got.inputs[0][i].add(only[i]).equal(regions)  # complements
            answers = model(kept[None], words[None]).logits[0].argsort(descending=True)[:2].tolist()
            expected = [0.0 if a in answers else float(rows.target[i, a]) for a in range(ANSWERS)]
            assert got.target[i].tolist() == expected
    assert got.inputs[1].equal(rows.inputs[1]) and not got.target.equal(rows.target)


def test_counterfactual_questions_are_those_of_a_plain_loop():
    rows, model = table(40, double=True), updn(double=True)
    got, (_, only) = both(model, whole(rows), q_share=1.0, top_answers=2)
    untouched = 0
    with torch.no_grad():
        for i, (regions, words) in enumerate(zip(*rows.inputs, strict=True)):
            skip = int(TYPE_WORDS[rows.side["question_type"][i]])
            free = [t for t in range(WORDS) if t >= skip and words[t] != 0]

            def change(step: float, t: int = 0, words: Tensor = words) -> None:
                model.words.weight[words[t]] += step  # a word stands once in a question

            target = rows.target[i]
            importance = {t: slope(model, regions, words, target, lambda s, t=t, c=change: c(s, t)) for t in free}
            if not free:  # a question that is nothing but its type stays what it is, and so do its answers
                assert got.inputs[1][i].equal(words) and only[i].equal(words) and got.target[i].equal(target)
                untouched += 1
                continue
            best = max(importance, key=importance.__getitem__)
            assert got.inputs[1][i].tolist() == [MASK if t == best else w for t, w in enumerate(words.tolist())]
            kept = [MASK if t in free and t != best else w for t, w in enumerate(words.tolist())]
            assert only[i].tolist() == kept
            answers = model(regions[None], torch.tensor([kept])).logits[0].argsort(descending=True)[:2].tolist()
            assert got.target[i].tolist() == [0.0 if a in answers else float(target[a]) for a in range(ANSWERS)]
    assert 0 < untouched < 40
    assert got.inputs[0].equal(rows.inputs[0])


class Reader(nn.Module):
    """Linear in the regions and in each word: question word w has the model read region `w - 2`, and no other."""

    def __init__(self, *, blind: bool = False):
        super().__init__()
        self.words = nn.Embedding(N_WORDS, REGIONS)
        self.words.weight.data = torch.zeros(N_WORDS, REGIONS)
        self.words.weight.data[2 : 2 + REGIONS] = torch.ones(REGIONS, REGIONS) if blind else torch.eye(REGIONS)

    def forward(self, regions: Tensor, words: Tensor) -> Output:
        read = (self.words(words).sum(1)[:, :, None] * regions).sum(1)  # [b, d]
        return Output(read.repeat(1, 2)[:, :ANSWERS])


@pytest.mark.parametrize("blind", [False, True])
def test_the_region_that_the_answer_rests_on_is_found(blind):
    place = torch.arange(64) % REGIONS
    words = torch.stack([torch.full((64,), 12), place + 2, torch.full((64,), 13)], 1)
    target = torch.zeros(64, ANSWERS)
    target[:, 1] = 1.0
    batch = Batch((torch.rand(64, REGIONS, 5) + 0.1, words), target, {"question_type": torch.zeros(64).long()}, place)
    got, _ = both(Reader(blind=blind), batch, q_share=0.0)
    gone = (got.inputs[0] == 0).all(-1)
    found = (gone == nn.functional.one_hot(place, REGIONS).bool()).all(1)
    assert not found.any() if blind else found.all()  # control: a model that reads all alike has no one region


@pytest.mark.parametrize("blind", [False, True])
def test_the_word_that_the_answer_rests_on_is_found(blind):
    regions = torch.zeros(64, REGIONS, 5)
    regions[:, 3, 1] = 1.0
    regions[:, 4, 2] = -5.0 if not blind else 5.0
    place = torch.arange(64) % 3

    class Word(Reader):
        """Only word 5 passes: the others' vectors are cut off."""

        def forward(self, regions: Tensor, words: Tensor) -> Output:
            heard = self.words(words) * (words == (6 if blind else 5))[..., None]
            return Output((heard.sum(1)[:, :, None] * regions).sum(1).repeat(1, 2)[:, :ANSWERS])

    words = torch.tensor([[5, 6, 7], [7, 5, 6], [6, 7, 5]])[place]
    target = torch.zeros(64, ANSWERS)
    target[:, 1] = 1.0
    batch = Batch((regions, words), target, {"question_type": torch.zeros(64).long()}, place)
    got, _ = both(Word(), batch, q_share=1.0)
    masked = words[got.inputs[1] == MASK]
    assert len(masked) == 64 and (masked == (6 if blind else 5)).all()  # control: it follows what the model hears


def test_an_image_of_padding_is_trained_on_unchanged():
    rows = table(4)
    rows.inputs[0][2] = 0
    got, (only, _) = both(updn(), whole(rows), q_share=0.0, top_answers=ANSWERS)
    assert got.target[2].equal(rows.target[2]) and not only[2].any() and not got.inputs[0][2].any()
    assert not got.target[[0, 1, 3]].any()


def test_released_order_takes_hints_and_only_counts_by_gradient():
    rows, model = table(hint=True), updn()
    real, hint = rows.inputs[0].ne(0).any(-1), rows.side["hint"]
    gone = {}
    for name in ("gradient", "released_order"):
        got, _ = both(model, whole(rows), q_share=0.0, hint=name, temperature=100.0)
        gone[name] = real & (got.inputs[0] == 0).all(-1)
    assert gone["gradient"].sum(1).equal(gone["released_order"].sum(1))
    assert not gone["gradient"].equal(gone["released_order"])
    for i, count in enumerate(gone["gradient"].sum(1).tolist()):
        places = [o for o in range(REGIONS) if real[i, o]]
        assert sets(gone["released_order"])[i] == set(sorted(places, key=lambda o: -hint[i, o])[:count])


class Linear(Reader):
    """Its answers are a linear layer, of which autocast keeps a copy in half precision."""

    def __init__(self):
        super().__init__()
        self.classify = nn.Linear(5, ANSWERS)
        self.classify.weight.data.normal_(generator=torch.Generator().manual_seed(0))

    def forward(self, regions: Tensor, words: Tensor) -> Output:
        return Output(self.classify((self.words(words).sum(1)[:, :, None] * regions).sum(1)))


@pytest.mark.parametrize("bf16", [False, True])
def test_answers_and_second_loss_are_those_of_the_updated_model(bf16):
    rows, model, spy, seen, losses = table(), Linear(), Spy(), [], []
    handle = model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        for loss in css(spy, q_share=1.0, top_answers=2).steps(model, whole(rows), 0.0):
            losses.append(loss.detach())
            model.zero_grad()
            loss.mean().backward()
            assert all(p.grad is not None for p in model.parameters())
            if len(losses) == 1:
                for p in model.parameters():
                    p.data -= 20 * p.grad
    handle.remove()
    assert not spy.weights[0].equal(spy.weights[1])
    counted = rows.target.sum(1) > spy.batches[1].target.sum(1)  # a right answer is no longer right
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        second, target = spy.batches[1], remove_answers(rows.target, model(*seen[1]).logits, 2)
        torch.testing.assert_close(losses[1], sigmoid_bce(model(*second.inputs).logits, second.target))
    assert counted.sum() > 10 and second.target[counted].equal(target[counted])


@pytest.mark.parametrize("q_share", [0.0, 1.0])
def test_gradients_are_those_of_the_two_losses_alone(q_share):
    rows, model, spy = table(), updn(), Spy()
    for place, losses in enumerate(css(spy, q_share=q_share).steps(model, whole(rows), 0.0)):
        assert all(p.grad is None for p in model.parameters())  # none from the importance, none from the answers
        losses.mean().backward()
        got = [p.grad.clone() for p in model.parameters()]
        model.zero_grad(set_to_none=True)
        batch = spy.batches[place]
        inputs = [x.detach() for x in batch.inputs]
        expected = torch.autograd.grad(sigmoid_bce(model(*inputs).logits, batch.target).mean(), model.parameters())
        torch.testing.assert_close(got, list(expected))
    assert len(spy.batches) == 2 and not rows.inputs[0].requires_grad


def test_modes_and_hooks_are_as_before():
    model = updn(dropout=0.5).train()
    model.attend_dropout.eval()
    before = [module.training for module in model.modules()]
    for _ in css(q_share=1.0).steps(model, whole(table()), 0.0):
        assert [module.training for module in model.modules()] == before
    assert [module.training for module in model.modules()] == before
    assert not any(module._forward_hooks for module in model.modules())


class Fails(UpDn):
    """Fails when it is asked for answers, or before if `at_once`."""

    at_once = False

    def forward(self, regions: Tensor, words: Tensor) -> Output:
        if self.at_once or not self.training:
            raise ArithmeticError
        return super().forward(regions, words)


@pytest.mark.parametrize("at_once", [False, True])
def test_a_failure_leaves_modes_and_hooks_as_before(at_once):
    model = Fails(updn().config).train()
    model.at_once = at_once
    with pytest.raises(ArithmeticError):
        list(css(q_share=1.0).steps(model, whole(table()), 0.0))
    assert model.training and not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(("q_share", "low", "high"), [(0.0, 0, 0), (0.3, 6, 20), (1.0, 40, 40)])
def test_the_coin_falls_as_often_as_asked(q_share, low, high):
    rows, model, spy = table(2), Reader(), Spy()
    torch.manual_seed(0)
    for _ in range(40):
        list(css(spy, q_share=q_share).steps(model, whole(rows), 0.0))
    asked = sum(batch.inputs[0].equal(rows.inputs[0]) for batch in spy.batches[1::2])
    assert low <= asked <= high


def test_answering_draws_no_random_numbers():
    model, batch = updn(dropout=0.5).train(), whole(table())
    torch.manual_seed(5)
    list(css().steps(model, batch, 0.0))
    after = torch.get_rng_state()
    torch.manual_seed(5)
    torch.rand(())
    model(*batch.inputs), model(*batch.inputs)  # the two losses
    assert torch.get_rng_state().equal(after)


LABEL = in_type(torch.ones(len(TYPE_WORDS), ANSWERS, dtype=torch.long))
BACKBONES = {
    "bce": (updn, lambda: LossRescaling("bce")),
    "ce, re-scaled": (updn, lambda: LossRescaling("ce", weight=1 + LABEL)),
    "lmh": (updn, lambda: LossRescaling(LearnedMixin(LABEL / ANSWERS, 12, entropy=0.36))),
    "masked": (lambda: AnswerMask(updn(), 12, ANSWERS), lambda: LossRescaling("bce", label=LABEL)),
}


@pytest.mark.parametrize(("name", "precision"), [(name, "fp32") for name in BACKBONES] + [("lmh", "bf16")])
def test_learns_toy_data(name, precision):
    model, base = BACKBONES[name]
    rows, net, objective = table(64), model(), css(base(), top_answers=1)
    best = torch.arange(64) % 4
    regions = 0.1 * rows.inputs[0]
    regions[torch.arange(64), 0] += 2 * torch.eye(5)[best]
    rows = replace(rows, inputs=(regions, rows.inputs[1]), target=nn.functional.one_hot(best, ANSWERS) * 0.9)
    history = fit(net, objective, rows, FitConfig(epochs=12, batch_size=16, lr=0.03, clip=10.0, precision=precision))
    assert float(predict(net, rows, soft_score).mean()) > 0.6  # chance is 0.13, the most frequent answer 0.23
    assert all(math.isfinite(row["loss"]) for row in history)
    assert len(list(objective.parameters())) == len(list(objective.base.parameters()))


def train(rows: Table, seed: int = 0, checkpoint=None, fail_at: int | None = None) -> tuple[dict, list[float]]:
    model, epoch = updn(dropout=0.3), [0]

    def evaluate(_: nn.Module) -> dict:
        epoch[0] += 1
        if epoch[0] == fail_at:
            raise KeyboardInterrupt
        return {}

    config = FitConfig(epochs=3, batch_size=16, lr=0.01, checkpoint_every=0.0, seed=seed)
    history = fit(model, css(), rows, config, evaluate=evaluate, checkpoint=checkpoint)
    return model.state_dict(), [row["loss"] for row in history]


def same(one: tuple, other: tuple) -> bool:
    return one[1] == other[1] and all(one[0][name].equal(other[0][name]) for name in one[0])


def test_a_killed_run_ends_with_the_same_weights(tmp_path):
    rows = table(32)
    torch.manual_seed(1)
    plain = train(rows)
    with pytest.raises(KeyboardInterrupt):
        train(rows, checkpoint=tmp_path / "run", fail_at=3)
    torch.manual_seed(2)  # whatever the state of the global generator
    assert same(plain, train(rows, checkpoint=tmp_path / "run"))
    assert not same(plain, train(rows, seed=1))


def test_a_compiled_model_gives_the_same_batches():
    rows, model = table(8), Reader()
    model.words.weight.data.normal_(generator=torch.Generator().manual_seed(0))
    compiled = torch.compile(model, backend="aot_eager", dynamic=False)  # ours cannot be compiled with checked shapes
    plain, _ = both(model, whole(rows), q_share=1.0)
    spy = Spy()
    for losses in css(spy, q_share=1.0).steps(compiled, whole(rows), 0.0):
        losses.mean().backward()
    torch.testing.assert_close(spy.batches[1].inputs, plain.inputs)
    torch.testing.assert_close(spy.batches[1].target, plain.target)


def test_a_frozen_embedding_has_importance_too():
    model, batch = updn(), whole(table())
    expected, _ = both(model, batch, q_share=1.0)
    model.words.requires_grad_(False)
    got, _ = both(model, batch, q_share=1.0)
    assert got.inputs[1].equal(expected.inputs[1]) and model.words.weight.grad is None


def test_further_inputs_are_passed_on():
    class Boxed(Reader):
        def forward(self, regions: Tensor, words: Tensor, boxes: Tensor) -> Output:
            return super().forward(regions * boxes[..., :1], words)

    rows = whole(table())
    boxes = torch.rand(len(rows.target), REGIONS, 4)
    for q_share in (0.0, 1.0):
        got, only = both(Boxed(), rows._replace(inputs=(*rows.inputs, boxes)), q_share=q_share)
        assert got.inputs[2] is boxes and only[2] is boxes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hint": "attention"}, "hint is one of gradient, released_order, got 'attention'"),
        ({"q_share": 1.5}, r"q_share is a finite number in \[0, 1\], got 1.5"),
        ({"mass": 65.0}, r"mass is a finite number in \(0, 1\], got 65.0"),
        ({"temperature": 0.0}, "temperature is a finite number > 0, got 0.0"),
        ({"top_answers": 0}, "top_answers is at least 1, got 0"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, message, unchecked):
    with pytest.raises(ValueError, match=message):
        css(**options)


def test_hints_are_asked_for():
    with pytest.raises(ValueError, match=r'reads side\["hint"\] \[b, o\], which the table lacks; add it'):
        list(css(q_share=0.0, hint="released_order").steps(updn(), whole(table()), 0.0))


def test_what_q_css_reads_is_asked_for():
    class Two(Reader):
        def __init__(self):
            super().__init__()
            self.more = nn.ModuleDict({"words": nn.Embedding(2, 2)})

    batch = whole(table())
    for model, count in ((nn.Linear(5, ANSWERS), 0), (Two(), 2)):
        with pytest.raises(ValueError, match=f"the one nn.Embedding of the model that is called `words`, got {count}"):
            list(css(q_share=1.0).steps(model, batch, 0.0))
    for word in (0, N_WORDS):
        objective = Css(LossRescaling("bce"), type_words=TYPE_WORDS, mask_word=word, q_share=1.0)
        with pytest.raises(ValueError, match=f"mask_word is a word of the model, 1 to {N_WORDS - 1}, got {word}; make"):
            list(objective.steps(updn(), batch, 0.0))


def test_a_base_of_two_steps_is_refused():
    with pytest.raises(ValueError, match="here an objective takes one step a batch, got 2; give it one that yields"):
        list(css(css()).steps(updn(), whole(table()), 0.0))


def test_a_model_that_does_not_look_has_no_critical_regions():
    model = QuestionOnly(QuestionOnlyConfig(N_WORDS, ANSWERS, hidden=8, word=4))
    with pytest.raises(RuntimeError, match="appears to not have been used"):
        list(css(q_share=0.0).steps(model, whole(table()), 0.0))
