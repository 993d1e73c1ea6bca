"""The task of a paper that reads all ten votes: questions that have features, or all where no model sees an image."""

import os
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Int

from vqabook.data import sets
from vqabook.data.layout import REST, DataSpec, find_rest, source_files
from vqabook.data.sets import Task
from vqabook.data.tables import to_device
from vqabook.data.vqa import Questions, make_table, read_questions
from vqabook.features.store import FeatureStore


@lru_cache(maxsize=2)
def votes_task(spec: DataSpec, data_root: str | Path | None, device: torch.device, *, images: bool = True) -> Task:
    """`load_task` with all held-out questions that the set has as its test split.

    Without `images` no question is left out for want of features, and what stands for them is one zero an image: for
    models that read the words alone.
    """
    if images:
        task = sets.load_task(spec, data_root, device)
        if spec.dataset not in REST:
            return task
        rest = _read_rest(spec, data_root, task.train_questions + task.valid_questions)
        rest = rest.subset(np.flatnonzero(np.isin(rest.image_id, task.features.image_ids)))
        test = task.test_questions + rest
        table = make_table(test, task.vocabulary, task.features, max_words=spec.max_words)
        return replace(task, test=to_device(table, device), test_questions=test)
    source = source_files(spec, data_root)[0]
    splits = sets.divide(spec, source, sets.load_questions(spec, data_root))
    if spec.dataset in REST:
        splits = splits._replace(test=splits.test + _read_rest(spec, data_root, splits.train))
    ids = np.unique(np.concatenate([questions.image_id for questions in splits if questions is not None]))
    features = FeatureStore(Path(), ids, torch.zeros(len(ids), 1, 1), None, None)
    return sets.make_task(spec, splits, features, device)


def agreement(questions: Questions) -> Int[np.ndarray, " n"]:
    """How many of the ten annotators gave the most frequent answer, 1 to 10, as they wrote it."""
    answers = [[x["answer"] for x in annotation["answers"]] for annotation in questions.annotations]
    return np.array([max(map(ten.count, ten)) for ten in answers])


def find_undisputed(questions: Questions) -> Bool[np.ndarray, " n"]:
    """Whether each question is no yes/no question, or one to which every annotator said yes or no."""
    return np.array(
        [a["answer_type"] != "yes/no" or all(x["answer"] in ("yes", "no") for x in a["answers"])
         for a in questions.annotations]
    )  # fmt: skip


def _read_rest(spec: DataSpec, data_root: str | os.PathLike | None, train: Questions) -> Questions:
    """The held-out questions that come on top."""
    files = find_rest(spec, data_root)
    rest = read_questions(*files)
    sets.check_apart(train, rest, f"train and {files[0].name}", spec.dataset)
    return rest
