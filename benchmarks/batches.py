"""A batch of region features and targets: one index here, per-sample HDF5 reads and collation the usual way.

The usual way is that of the papers' released data sets (`__getitem__`): read one image's features and boxes from HDF5,
make three dense vectors over answers (target, mask, weight), and let torch's `default_collate` stack them. Also: what
share of a training step the batch is. 512 questions, 49 regions x 128, 3,129 answers, one thread.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch
from torch.utils.data import default_collate

from vqabook.core import SparseScores, Table
from vqabook.features.store import open_features
from vqabook.losses import in_type, rescaling_weights
from vqabook.models import UpDn, UpDnConfig
from vqabook.objectives import LossRescaling
from vqabook.training.fit import FitConfig, Training

N_IMAGES, N_QUESTIONS, BATCH, ANSWERS, TYPES = 2000, 8000, 512, 3129, 65
GOAL_SHARE = 0.03


def make_features(path: Path, rng: np.random.Generator) -> None:
    with h5py.File(path, "w") as file:
        file["features"] = rng.integers(0, 64, (N_IMAGES, 49, 128), dtype=np.uint8)
        file["image_ids"], file["boxes"] = np.arange(N_IMAGES), rng.random((N_IMAGES, 49, 4), dtype=np.float32)
        file["scale"], file["offset"] = np.full(128, 0.1, np.float32), np.zeros(128, np.float32)


def make_table(path: Path, rng: np.random.Generator) -> Table:
    features = open_features(path).to("cpu")
    answer = torch.from_numpy(rng.integers(0, ANSWERS, (N_QUESTIONS, 4)).astype(np.int32))
    words = torch.from_numpy(rng.integers(1, 5000, (N_QUESTIONS, 14)).astype(np.int32))
    kind = torch.from_numpy(rng.integers(0, TYPES, N_QUESTIONS))
    rows = torch.from_numpy(rng.integers(0, N_IMAGES, N_QUESTIONS))
    target = SparseScores(answer, torch.full((N_QUESTIONS, 4), 0.3), ANSWERS)
    return Table((rows, words), target, ANSWERS, {"question_type": kind}, lambda r, w: (features.gather(r), w))


def usual_batch(file: h5py.File, table: Table, mask: torch.Tensor, weight: torch.Tensor, rows: torch.Tensor) -> list:
    """512 times `__getitem__`, then collate."""
    scale, offset = file["scale"][()], file["offset"][()]
    samples = []
    for i in rows.tolist():
        image = int(table.inputs[0][i])
        features = torch.from_numpy(file["features"][image] * scale + offset)
        boxes = torch.from_numpy(file["boxes"][image])
        target, in_mask, weights = torch.zeros(ANSWERS), torch.zeros(ANSWERS), torch.ones(ANSWERS)
        target.scatter_(0, table.target.answer[i].long(), table.target.score[i])
        kind = int(table.side["question_type"][i])
        in_mask.copy_(mask[kind])
        weights.copy_(weight[kind])
        samples.append((features, boxes, table.inputs[1][i], target, in_mask, weights))
    return default_collate(samples)


def our_batch(table: Table, mask: torch.Tensor, weight: torch.Tensor, rows: torch.Tensor) -> tuple:
    batch = table.batch(rows)
    kind = batch.side["question_type"]
    return batch, mask[kind], weight[kind]


def median_seconds(call: Callable[[], object], times: int) -> float:
    call()
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def step_seconds(table: Table, counts: torch.Tensor, rows: torch.Tensor) -> tuple[float, float]:
    """Seconds of a whole training step (forward, backward, clip, update; UpDn with 512 units) and of its batch."""
    model = UpDn(UpDnConfig(n_words=5000, n_answers=ANSWERS, feature=128, hidden=512))
    objective = LossRescaling("bce", weight=rescaling_weights(counts))
    run = Training(model, objective, FitConfig())

    def step() -> None:
        for losses in objective.steps(model, table.batch(rows), 0.0):
            run.optimizer.zero_grad()
            losses.mean().backward()
            torch.nn.utils.clip_grad_norm_(run.parameters, 0.25)
            run.optimizer.step()

    return median_seconds(step, 3), median_seconds(lambda: table.batch(rows), 9)


def main() -> dict:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "features.h5"
        make_features(path, rng)
        table = make_table(path, rng)
        counts = torch.from_numpy(rng.integers(0, 30, (TYPES, ANSWERS)))
        mask, weight = in_type(counts), rescaling_weights(counts)
        rows = torch.from_numpy(rng.permutation(N_QUESTIONS)[:BATCH])
        step, batch = step_seconds(
            table, counts, rows
        )  # first: from then on the process has the memory of a training run
        ours = median_seconds(lambda: our_batch(table, mask, weight, rows), 15)
        with h5py.File(path) as file:
            usual = median_seconds(lambda: usual_batch(file, table, mask, weight, rows), 5)
    result = {"name": "batch", "ours_s": ours, "usual_s": usual, "ratio": usual / ours, "goal": 20}
    print(f"batch: {1e3 * ours:.1f} ms here, {1e3 * usual:.0f} ms the usual way: {usual / ours:.0f} x (goal 20)")
    share = batch / step
    print(f"batch in a training step: {1e3 * batch:.1f} of {1e3 * step:.0f} ms: {share:.1%} (goal {GOAL_SHARE:.0%})")
    return result | {"share_of_step": share}


if __name__ == "__main__":
    main()
