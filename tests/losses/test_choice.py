"""Laws of multiple choice learning: the assignment is the minimum, limits are the ensembles that they should be."""

from __future__ import annotations

from functools import partial
from itertools import combinations
from math import log

import pytest
import torch

from vqabook.losses.choice import (
    assignment,
    distillation,
    member_cross_entropy,
    multiple_choice,
    random_label_loss,
    released_distillation,
    uniform_divergence,
)

M, B, C = 5, 40, 7


@pytest.fixture
def drawn() -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    logits, teacher = (3 * torch.randn(M, B, C, dtype=torch.float64, generator=rng) for _ in range(2))
    return {"logits": logits, "teacher": teacher, "target": torch.randint(C, (B,), generator=rng)}


def enumerated(task: torch.Tensor, other: torch.Tensor, k: int, beta: float) -> torch.Tensor:
    """The lowest value of Eq. 4 over all C(m, k) assignments, example by example."""
    best = []
    for i in range(task.shape[1]):
        values = [
            sum(float(task[m, i]) if m in chosen else beta * float(other[m, i]) for m in range(M))
            for chosen in combinations(range(M), k)
        ]
        best.append(min(values))
    return torch.tensor(best, dtype=task.dtype)


@pytest.mark.parametrize("k", range(1, M + 1))
@pytest.mark.parametrize("beta", [0.0, 0.3, 1.7, 50.0])
@pytest.mark.parametrize("what", ["uniform", "distillation", "released"])
def test_the_assignment_is_the_best_of_all(drawn, k, beta, what):
    task = member_cross_entropy(drawn["logits"], drawn["target"])
    other = {
        "uniform": uniform_divergence(drawn["logits"]),
        "distillation": distillation(drawn["logits"], drawn["teacher"], temperature=0.5),
        "released": released_distillation(drawn["logits"], drawn["teacher"], temperature=0.5),
    }[what]
    loss, chosen = multiple_choice(task, k, other=other, beta=beta)
    torch.testing.assert_close(loss, enumerated(task, other, k, beta))
    assert (chosen.sum(0) == k).all()
    best = torch.where(chosen, task, beta * other).sum(0)
    torch.testing.assert_close(loss, best)


def test_without_anything_for_the_others_the_most_accurate_learn(drawn):
    task = member_cross_entropy(drawn["logits"], drawn["target"])
    loss, chosen = multiple_choice(task, 1)
    torch.testing.assert_close(loss, task.min(0).values)  # Eq. 1
    assert torch.equal(chosen.long().argmax(0), task.argmin(0))


def test_all_of_them_are_an_independent_ensemble(drawn):
    """k = m: each member's gradient is the one it would have alone."""
    logits = drawn["logits"].clone().requires_grad_()
    loss, _ = multiple_choice(
        member_cross_entropy(logits, drawn["target"]), M, other=uniform_divergence(logits), beta=3.0
    )
    together = torch.autograd.grad(loss.sum(), logits)[0]
    for m in range(M):
        alone = drawn["logits"][m].clone().requires_grad_()
        torch.nn.functional.cross_entropy(alone, drawn["target"], reduction="sum").backward()
        torch.testing.assert_close(together[m], alone.grad)


def test_members_are_alike(drawn):
    """Renaming members renames their assignment and changes nothing else."""
    task, other = member_cross_entropy(drawn["logits"], drawn["target"]), uniform_divergence(drawn["logits"])
    order = torch.tensor([3, 0, 4, 1, 2])
    loss, chosen = multiple_choice(task, 2, other=other, beta=0.5)
    again, renamed = multiple_choice(task[order], 2, other=other[order], beta=0.5)
    torch.testing.assert_close(again, loss)
    assert torch.equal(renamed, chosen[order])


@pytest.mark.parametrize("k", [1, 3])
def test_gradcheck(drawn, k):
    """Where the assignment does not change, the loss is smooth; v itself has no gradient."""
    logits = drawn["logits"][:, :4].clone().requires_grad_()
    teacher, target = drawn["teacher"][:, :4], drawn["target"][:4]

    def loss(x: torch.Tensor) -> torch.Tensor:
        return multiple_choice(
            member_cross_entropy(x, target), k, other=distillation(x, teacher, temperature=0.5), beta=1.6
        )[0]

    torch.autograd.gradcheck(loss, logits)


def test_divergences_are_zero_where_nothing_differs_and_never_negative(drawn):
    logits, teacher = drawn["logits"], drawn["teacher"]
    assert uniform_divergence(torch.zeros(2, 3, 9)).abs().max() < 1e-6
    assert distillation(logits, logits + 5.0, temperature=0.1).abs().max() < 1e-9  # logits are up to a constant
    assert (uniform_divergence(logits) > 0).all() and (distillation(logits, teacher, temperature=0.5) > 0).all()


def test_divergences_are_torch_s(drawn):
    log_p = (drawn["logits"] / 0.5).log_softmax(-1)
    want = torch.nn.functional.kl_div(
        log_p, (drawn["teacher"] / 0.5).log_softmax(-1), log_target=True, reduction="none"
    )
    torch.testing.assert_close(distillation(drawn["logits"], drawn["teacher"], temperature=0.5), want.sum(-1))
    uniform = torch.full((C,), 1 / C, dtype=torch.float64)
    want = torch.nn.functional.kl_div(drawn["logits"].log_softmax(-1), uniform.expand(M, B, C), reduction="none")
    torch.testing.assert_close(uniform_divergence(drawn["logits"]), want.sum(-1))


@pytest.mark.parametrize(("answers", "beta", "want"), [(28, 50, 1.786), (3129, 5000, 1.598)])
def test_what_the_releases_beta_means(answers, beta, want):
    """β on the released scale is β / c on Eq. 5's, up to the teacher's entropy, which moves no member."""
    rng = torch.Generator().manual_seed(0)
    teacher = torch.randn(3, answers, dtype=torch.float64, generator=rng)
    student = torch.randn(3, answers, dtype=torch.float64, generator=rng).requires_grad_()
    assert beta / answers == pytest.approx(want, abs=1e-3)
    released = beta * released_distillation(student, teacher, temperature=0.5).sum()
    ours = beta / answers * distillation(student, teacher, temperature=0.5).sum()
    torch.testing.assert_close(torch.autograd.grad(released, student)[0], torch.autograd.grad(ours, student)[0])
    entropy = torch.special.entr((teacher / 0.5).softmax(-1)).sum()
    torch.testing.assert_close(released, (ours + beta / answers * entropy).detach(), check_dtype=False)


def test_the_teacher_s_entropy_moves_the_assignment():
    """The two scales agree on gradients and not on who learns: a sure teacher's student is let go more easily."""
    task = torch.tensor([[1.0], [1.0]])
    teacher = torch.tensor([[[0.0, 0.0, 0.0]], [[9.0, 0.0, 0.0]]])  # the first knows nothing
    student = torch.tensor([[[0.0, 0.3, 0.0]], [[8.0, 0.0, 0.0]]])
    kinds = [distillation(student, teacher), released_distillation(student, teacher)]
    chosen = [multiple_choice(task, 1, other=other, beta=1.0)[1].long().argmax(0).item() for other in kinds]
    assert kinds[0][0] > kinds[0][1] and kinds[1][0] > kinds[1][1] and chosen == [0, 0]
    swapped = torch.tensor([[[0.0, 0.05, 0.0]], [[4.0, 0.0, 0.0]]])
    kinds = [distillation(swapped, teacher), released_distillation(swapped, teacher)]
    chosen = [multiple_choice(task, 1, other=other, beta=1.0)[1].long().argmax(0).item() for other in kinds]
    assert chosen == [1, 0]


def test_random_labels_are_uniform_divergence_in_the_mean(drawn):
    torch.manual_seed(1)
    logits = drawn["logits"][:, :3]
    mean = torch.stack([random_label_loss(logits) for _ in range(4000)]).mean(0)
    torch.testing.assert_close(mean, uniform_divergence(logits) + log(C), atol=0.25, rtol=0.05)


def test_extreme_logits_stay_finite():
    logits, teacher = torch.tensor([[[1e4, -1e4, 0.0]]]), torch.tensor([[[-1e4, 1e4, 0.0]]])
    for loss in (partial(distillation, temperature=0.1), released_distillation):
        assert loss(logits, teacher).isfinite().all()
    assert uniform_divergence(logits).isfinite().all()


@pytest.mark.parametrize("k", [0, 6, -1])
def test_k_is_a_number_of_members(k):
    with pytest.raises(ValueError, match=f"1 <= k <= m: got k = {k} with m = 5 members"):
        assignment(torch.rand(5, 3), k)


def test_a_weight_is_not_negative_and_a_temperature_positive():
    with pytest.raises(ValueError, match="beta is a finite number >= 0, got -1.*; it weighs what members do"):
        multiple_choice(torch.rand(2, 3), 1, other=torch.rand(2, 3), beta=-1)
    for loss in (distillation, released_distillation):
        with pytest.raises(ValueError, match="temperature is a finite number > 0, got 0"):
            loss(torch.rand(2, 3), torch.rand(2, 3), temperature=0.0)
