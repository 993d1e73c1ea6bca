"""What a run leaves for others: found by recipe and code, made once, whole, and made again where it is damaged."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import IO

import pytest
import torch
from filelock import FileLock, Timeout
from torch import nn

from vqabook.files import NotReadable, load_saved, read_or_set_aside, save_whole
from vqabook.training.stages import Stages

ROOT = Path(__file__).resolve().parents[2]
RECIPE = {"paper": "p", "profile": "smoke", "variant": "base", "seed": 0}


class Train:
    """A training whose weights are how often it ran."""

    def __init__(self):
        self.checkpoints = []

    def __call__(self, model: nn.Module, checkpoint: Path) -> str:
        self.checkpoints.append(checkpoint)
        nn.init.constant_(model.weight, len(self.checkpoints))
        return "history"


@pytest.fixture
def stages(tmp_path) -> Stages:
    return Stages(tmp_path, "c1")


def go_on(stages: Stages, train: Train, recipe: dict = RECIPE, **how: Path) -> tuple[object, float]:
    model = nn.Linear(1, 1)
    return stages.go_on(model, recipe, train, **how), model.weight.item()


def test_a_first_stage_is_made_where_none_is_found_and_found_where_one_is(stages):
    train = Train()
    assert go_on(stages, train) == ("history", 1)
    assert go_on(stages, train) == (None, 1)
    assert go_on(stages, train, recipe=dict(reversed(RECIPE.items()))) == (None, 1)
    (checkpoint,) = train.checkpoints
    assert checkpoint.parent == stages.folder and checkpoint.suffix == ".checkpoint"


@pytest.mark.parametrize("change", [{"recipe": RECIPE | {"seed": 1}}, {"anew": Path("own.checkpoint")}])
def test_another_recipe_s_stage_is_not_found_and_a_run_of_its_own_makes_its_anew(change, stages):
    train = Train()
    go_on(stages, train)
    assert go_on(stages, train, **change) == ("history", 2)
    assert go_on(stages, train)[1] == (2 if "anew" in change else 1)


def test_a_stage_of_other_code_is_never_found(stages):
    """An edit between the stages, and what it left is still there for its own code."""
    train, edited = Train(), replace(stages, code="c2")
    go_on(stages, train)
    assert go_on(edited, train) == ("history", 2)
    assert go_on(stages, train) == (None, 1) and go_on(edited, train) == (None, 2)
    assert len(set(train.checkpoints)) == 2


def test_a_damaged_stage_is_set_aside_and_made_again(damage, stages):
    train, path = Train(), stages.path(RECIPE, "weights")
    go_on(stages, train)
    damage(path)
    with pytest.warns(UserWarning, match=r"what a run leaves can be read back: .* and is made again") as told:
        assert go_on(stages, train) == ("history", 2)
    assert len(told) == 1 and "\n" not in str(told[0].message)
    assert path.with_name(f"{path.name}.damaged").exists()
    assert go_on(stages, train) == (None, 2)


@pytest.mark.parametrize("weights", [
    {"weight": torch.zeros(2, 1), "bias": torch.zeros(1)},
    {"weight": torch.zeros(1, 1)},
    {"weight": torch.zeros(1, 1), "bias": torch.zeros(1), "scale": torch.zeros(1)},
    {"weight": torch.zeros(1, 1), "bias": torch.zeros(1, dtype=torch.long)},
    {},
])  # fmt: skip
def test_weights_of_another_model_are_set_aside_before_any_is_loaded(weights, stages):
    train, path = Train(), stages.path(RECIPE, "weights")
    save_whole(weights, path)
    with pytest.warns(UserWarning, match="weights are of this model: (weight|bias|scale) is"):
        assert go_on(stages, train) == ("history", 1)


def test_a_stage_s_checkpoint_goes_once_the_stage_is_left_and_the_run_s_own_with_its_record(stages):
    class Killed(Train):
        def __call__(self, model: nn.Module, checkpoint: Path) -> str:
            checkpoint.touch()
            return super().__call__(model, checkpoint)

    old = replace(stages, code="c0").path(RECIPE, "weights").with_suffix(".checkpoint")
    old.touch()
    train, own = Killed(), stages.folder / "own.checkpoint"
    go_on(stages, train)
    assert not train.checkpoints[0].exists() and not old.exists()
    go_on(stages, train, anew=own)
    assert train.checkpoints[1] == own and own.exists()


def test_a_file_that_may_not_be_read_is_not_damaged(stages, monkeypatch):
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = stages.path(RECIPE, "weights")
    path.write_bytes(b"of another user")
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(NotReadable, match="weights.stage cannot be read here"):
        read_or_set_aside(path, load_saved)
    assert path.exists()


def test_a_stage_is_whole_or_not_there(stages, monkeypatch):
    """A full disk or a kill leaves nothing that a later run would go on from."""

    def full_disk(content: object, file: IO[bytes]) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    train = Train()
    with monkeypatch.context() as patch, pytest.raises(OSError, match="the disk of .* is full"):
        patch.setattr(torch, "save", full_disk)
        go_on(stages, train)
    assert [path.suffix for path in stages.folder.iterdir()] == [".lock"]

    def killed(model: nn.Module, checkpoint: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go_on(stages, killed)
    assert go_on(stages, train) == ("history", 2)


def test_what_is_locked_waits(stages):
    with stages.lock(RECIPE, "maps") as path, pytest.raises(Timeout):
        FileLock(f"{path}.lock", timeout=0).acquire()
    with stages.lock(RECIPE, "maps"), stages.lock(RECIPE, "weights"):  # each of its own
        pass


TRAINS = """
import os, sys, time
from pathlib import Path
from torch import nn
from vqabook.training.stages import Stages
folder = Path(sys.argv[1])
def train(model, checkpoint):
    with (folder / "trained").open("a") as file:
        file.write("once ")
    time.sleep(1)
    nn.init.constant_(model.weight, 3)
os.fork()  # two processes, of which torch is imported once
model = nn.Linear(1, 1)
Stages(folder, "c1").go_on(model, {"paper": "p"}, train)
print(model.weight.item(), flush=True)
"""


def test_two_processes_make_a_stage_once(tmp_path):
    words = [sys.executable, "-c", f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{TRAINS}", str(tmp_path)]
    both = subprocess.run(words, stdout=subprocess.PIPE, text=True, timeout=120)  # until both have closed it
    assert both.stdout.split() == ["3.0", "3.0"]
    assert (tmp_path / "trained").read_text() == "once "
