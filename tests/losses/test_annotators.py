"""Cross-entropy with all annotators' answers: what it is equal to, what it is not, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from vqabook.core import SparseScores
from vqabook.losses import annotator_cross_entropy, annotator_weights, sigmoid_bce, soft_cross_entropy
from vqabook.metrics.vqa import leave_one_out_scores


@pytest.fixture
def asked() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits [5, 9], answers [5, 3] and votes: one answer, several, out-of-vocabulary votes, none at all."""
    logits = 3 * torch.randn(5, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    answer = torch.tensor([[2, 0, 0], [1, 4, 7], [8, 3, 0], [5, 6, 0], [0, 0, 0]])
    votes = torch.tensor([[10, 0, 0], [5, 3, 2], [4, 1, 0], [5, 5, 0], [0, 0, 0]])
    return logits, answer, votes


def dense(answer: torch.Tensor, weight: torch.Tensor, n: int = 9) -> torch.Tensor:
    return SparseScores(answer, weight, n)[torch.arange(len(answer))]


def test_golden():
    # by hand: softmax([0, log 3]) = [1/4, 3/4]; 6 votes on the first answer, 3 on the second, 1 elsewhere
    logits, votes = torch.tensor([[1.0, 3.0]]).log(), torch.tensor([[6, 3]])
    got = annotator_cross_entropy(logits, torch.tensor([[0, 1]]), annotator_weights(votes))
    want = 0.6 * torch.tensor(4.0).log() + 0.3 * torch.tensor(4 / 3).log()
    torch.testing.assert_close(got, want[None])


def test_weights(asked):
    votes = asked[2]
    torch.testing.assert_close(annotator_weights(votes)[1], torch.tensor([0.5, 0.3, 0.2]))
    assert annotator_weights(votes).sum(1).tolist() == pytest.approx([1, 1, 0.5, 1, 0])  # the rest is not known
    assert annotator_weights(votes, renormalise=True).sum(1).tolist() == pytest.approx([1, 1, 1, 1, 0])
    ten = ["a"] * 4 + ["b"] * 3 + ["c"] * 2 + ["d"]
    scores = annotator_weights(torch.tensor([[4, 3, 2, 1]]), of="scores")[0].tolist()
    assert scores == pytest.approx(list(leave_one_out_scores(ten).values()))


def test_one_answer_is_plain_cross_entropy(asked):
    logits, answer, _ = asked
    got = annotator_cross_entropy(logits, answer[:, :1], torch.ones(5, 1, dtype=torch.float64))
    torch.testing.assert_close(got, F.cross_entropy(logits, answer[:, 0], reduction="none"))


@pytest.mark.parametrize("of", ["votes", "scores"])
@pytest.mark.parametrize("renormalise", [False, True])
def test_it_is_the_dense_loss(asked, of, renormalise):
    logits, answer, votes = asked
    weight = annotator_weights(votes, of=of, renormalise=renormalise).double()
    wide = soft_cross_entropy(logits, dense(answer, weight))
    torch.testing.assert_close(annotator_cross_entropy(logits, answer, weight), wide)


def test_a_loop_over_annotators_gives_the_same(asked):
    logits, answer, votes = asked
    want = []
    for x, ids, counts in zip(logits, answer, votes, strict=True):
        ten = [a for a, n in zip(ids.tolist(), counts.tolist(), strict=True) for _ in range(n)]
        want.append(sum((x.exp().sum().log() - x[a] for a in ten), torch.tensor(0.0)) / 10)
    got = annotator_cross_entropy(logits, answer, annotator_weights(votes).double())
    torch.testing.assert_close(got, torch.stack(want).double())


def test_it_is_a_divergence_and_an_entropy(asked):
    """Σw (KL(w / Σw || p) + H(w / Σw)): the entropy does not move with the model, so both have one gradient."""
    logits, answer, votes = asked
    weight = annotator_weights(votes).double()
    share, total = dense(answer, annotator_weights(votes, renormalise=True).double()), weight.sum(1)
    divergence = F.kl_div(logits.log_softmax(-1), share, reduction="none").sum(-1)
    entropy = -torch.special.xlogy(share, share).sum(-1)
    torch.testing.assert_close(annotator_cross_entropy(logits, answer, weight), total * (divergence + entropy))
    assert (divergence > 0)[:4].all()


def gradient(loss, logits: torch.Tensor) -> torch.Tensor:
    logits = logits.clone().requires_grad_()
    return torch.autograd.grad(loss(logits).sum(), logits)[0]


def test_what_it_pulls_where(asked):
    """Σw p - w; sigmoid-BCE instead pulls every answer by itself, σ(x) - w: its gradients need not cancel."""
    logits, answer, votes = asked
    weight = annotator_weights(votes).double()
    wide = dense(answer, weight)
    soft = gradient(lambda x: annotator_cross_entropy(x, answer, weight), logits)
    torch.testing.assert_close(soft, wide.sum(1, keepdim=True) * logits.softmax(-1) - wide)
    torch.testing.assert_close(soft.sum(1), torch.zeros(5).double(), atol=1e-12, rtol=0)
    bce = gradient(lambda x: sigmoid_bce(x, wide), logits)
    torch.testing.assert_close(bce, logits.sigmoid() - wide)
    assert (bce.sum(1).abs() > 0.1).any()


def test_one_more_logit_everywhere_changes_nothing_here_and_something_there(asked):
    logits, answer, votes = asked
    weight = annotator_weights(votes).double()
    moved = annotator_cross_entropy(logits + 5, answer, weight)
    torch.testing.assert_close(moved, annotator_cross_entropy(logits, answer, weight))
    wide = dense(answer, weight)
    assert (sigmoid_bce(logits + 5, wide) - sigmoid_bce(logits, wide)).abs().min() > 0.1


def test_its_minimum_is_the_annotators_distribution(asked):
    _, answer, votes = asked
    share = dense(answer, annotator_weights(votes, renormalise=True).double()).clamp(min=1e-12)
    weight = annotator_weights(votes).double()
    assert gradient(lambda x: annotator_cross_entropy(x, answer, weight), share.log())[:4].abs().max() < 1e-9


def test_padding_order_and_repeats_do_not_matter(asked):
    logits, answer, votes = asked
    loss = annotator_cross_entropy(logits, answer, annotator_weights(votes).double())
    for a, v in (
        (F.pad(answer, (0, 2), value=8), F.pad(votes, (0, 2))),
        (answer.flip(1), votes.flip(1)),
        (torch.cat([answer, answer], 1), torch.cat([votes, votes], 1) / 2),
    ):
        again = annotator_cross_entropy(logits, a, v.double() / 10)
        torch.testing.assert_close(again, loss)


def test_gradcheck_and_extreme_logits(asked):
    logits, answer, votes = asked
    weight = annotator_weights(votes).double()
    torch.autograd.gradcheck(lambda x: annotator_cross_entropy(x, answer, weight), logits.requires_grad_())
    far = annotator_cross_entropy(1e4 * logits.detach().float(), answer, weight.float())
    assert far.isfinite().all() and far[4] == 0


def test_a_question_without_a_known_answer_trains_nothing(asked):
    logits, answer, votes = asked
    weight = annotator_weights(votes).double()
    assert not gradient(lambda x: annotator_cross_entropy(x, answer, weight), logits)[4].any()
    nothing = annotator_weights(votes[:, :0])
    assert annotator_cross_entropy(logits, answer[:, :0], nothing.double()).tolist() == [0.0] * 5


@pytest.mark.parametrize(
    ("votes", "came"), [([[3, 2], [8, 3]], r"\[8, 3\] in row 1"), ([[3, -1], [8, 2]], r"\[3, -1\] in row 0")]
)
def test_votes_that_no_ten_annotators_cast_are_refused(votes, came):
    with pytest.raises(ValueError, match=f"at most 10 in all, got {came}; count each annotator once"):
        annotator_weights(torch.tensor(votes))


def test_an_answer_that_is_ruled_out_may_be_the_padding():
    logits = torch.tensor([[-torch.inf, 1.0, 2.0]], requires_grad=True)
    loss = annotator_cross_entropy(logits, torch.tensor([[1, 0]]), torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(loss, F.cross_entropy(logits, torch.tensor([1]), reduction="none"))
    assert torch.autograd.grad(loss.sum(), logits)[0].isfinite().all()


def test_scores_leave_one_annotator_out():
    want = []
    for n in range(11):
        matches = [1] * n + [0] * (10 - n)
        want.append(sum(min(1, (n - own) / 3) for own in matches) / 10)
    torch.testing.assert_close(annotator_weights(torch.arange(11)[:, None], of="scores")[:, 0], torch.tensor(want))
