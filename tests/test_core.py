"""Table, SparseScores: indexing is all they do."""

from __future__ import annotations

import jaxtyping
import pytest
import torch

from vqabook.core import SparseScores, Table, pick_device
from vqabook.losses import soft_cross_entropy


def sparse(n: int = 6, k: int = 3, n_answers: int = 5) -> SparseScores:
    rng = torch.Generator().manual_seed(0)
    answer = torch.stack([torch.randperm(n_answers, generator=rng)[:k] for _ in range(n)]).int()
    score = torch.rand(n, k, generator=rng)
    score[:, -1] = 0  # padding
    return SparseScores(answer, score, n_answers)


def test_annotations_are_checked_in_these_tests():
    with pytest.raises(jaxtyping.TypeCheckError):
        soft_cross_entropy(torch.zeros(2, 3), torch.zeros(2, 4))


def test_sparse_scores_equal_a_loop():
    scores, rows = sparse(), torch.tensor([4, 0, 4])
    dense = torch.zeros(3, 5)
    for i, row in enumerate(rows):
        for answer, score in zip(scores.answer[row], scores.score[row], strict=True):
            dense[i, answer] += score
    torch.testing.assert_close(scores[rows], dense, rtol=0, atol=0)
    assert len(scores) == 6


def test_padding_may_repeat_an_answer():
    scores = SparseScores(torch.tensor([[2, 0, 0]]), torch.tensor([[0.3, 0.0, 0.0]]), 3)
    assert scores[torch.tensor([0])].tolist() == [[0.0, 0.0, pytest.approx(0.3)]]
    padded = SparseScores(torch.tensor([[2, 2, 2]]), torch.tensor([[0.3, 0.0, 0.0]]), 3)
    torch.testing.assert_close(scores[torch.tensor([0])], padded[torch.tensor([0])])


def test_sparse_scores_move():
    assert sparse().to("meta").score.device.type == "meta"


@pytest.mark.parametrize("target", [torch.arange(30.0).reshape(6, 5), sparse()], ids=["dense", "sparse"])
def test_a_subsets_batch_is_the_tables_batch(target):
    table = Table((torch.arange(6),), target, 5, {"kind": torch.arange(6) * 10}, lookup=lambda rows: (rows + 0.5, rows))
    chosen, rows = torch.tensor([5, 1, 3]), torch.tensor([2, 0])
    some, whole = table.subset(chosen).batch(rows), table.batch(chosen[rows])
    assert len(table.subset(chosen)) == 3
    torch.testing.assert_close(some.target, whole.target)
    assert [x.tolist() for x in some.inputs] == [x.tolist() for x in whole.inputs] == [[3.5, 5.5], [3, 5]]
    assert some.side["kind"].tolist() == [30, 50]


def test_columns_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match=r"one length, got \[2, 3\]; cut them"):
        Table((torch.zeros(3),), torch.zeros(2, 4), 4)
    with pytest.raises(ValueError, match="one length"):
        Table((torch.zeros(3),), torch.zeros(3, 4), 4, {"kind": torch.zeros(2)})


@pytest.mark.parametrize(("gpus", "auto"), [(0, "cpu"), (2, "cuda")])
def test_the_first_gpu_is_taken_where_there_is_one(gpus, auto, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert pick_device() == torch.device(auto) and pick_device("cpu") == torch.device("cpu")
    there = ("cuda", "cuda:0", "cuda:1") if gpus else ()
    assert [str(pick_device(name)) for name in there] == list(there)
    for name in {"cuda", "cuda:1", "cuda:2", "mps", "cpu:1"}.difference(there):
        with pytest.raises(ValueError, match=f"^device {name} is not here, torch sees . of .*; use auto or cpu$"):
            pick_device(name)
    for name in ("gpu", "", "cuda:", "cuda:-1", "cuda:a", "cuda:0:1", "CPU"):
        with pytest.raises(ValueError, match=f"^device is auto, cpu, cuda, cuda:N or mps, got '{name}'; choose one$"):
            pick_device(name)
