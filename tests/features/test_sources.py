"""Features of images that lie in an array, in CIFAR's binary files or in an ImageFolder: the same as of a folder."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from vqabook.cli.data import app
from vqabook.data.cifar import PIXELS
from vqabook.data.image_sources import open_images
from vqabook.features import extract
from vqabook.features.backbones import Backbone
from vqabook.features.extract import extract_features
from vqabook.features.sources import hold_array, open_folder
from vqabook.features.store import open_features

RNG = np.random.default_rng(0)


@pytest.fixture
def tiny(monkeypatch) -> None:
    """A network that averages 4 x 4 patches of an input of 8 x 8."""
    about = {"mean": [0.0] * 3, "std": [1.0] * 3, "size": 8, "weights_sha256": "0", "packages": ()}
    backbone = Backbone("tiny", nn.Linear(1, 1), lambda x: nn.functional.avg_pool2d(x, 4), **about)
    monkeypatch.setattr(extract, "open_backbone", lambda name, size: backbone)


def draw(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def test_an_array_gives_what_its_images_give_as_files(tiny, tmp_path):
    images = draw(5, 16, 12, 3)
    np.save(tmp_path / "images.npy", images)
    np.savez(tmp_path / "images.npz", images=images.transpose(0, 3, 1, 2), labels=np.arange(5) % 2)
    (tmp_path / "folder").mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "folder" / f"{i}.png")
    stores = []
    for name in ("images.npy", "images.npz", "folder"):
        out = tmp_path / f"{name}.h5"
        words = ["features", str(tmp_path / name), str(out), "--grid", "1", "--dtype", "float16"]
        assert CliRunner().invoke(app, words).exit_code == 0
        stores.append(open_features(out))
        assert stores[-1].image_ids.tolist() == list(range(5)) and stores[-1].sizes.tolist() == [[12, 16]] * 5
    for store in stores[1:]:
        assert torch.equal(store.gather(torch.arange(5)), stores[0].gather(torch.arange(5)))
    assert [store.labels is not None for store in stores] == [False, True, False]
    assert stores[1].labels.tolist() == [0, 1, 0, 1, 0]


def test_grey_images_have_three_equal_channels():
    pixels, size = hold_array(draw(2, 4, 4)).read("1", 8)
    assert pixels.shape == (3, 8, 8) and size == (4, 4) and (pixels == pixels[:1]).all()


@pytest.mark.parametrize("parts", [("data_batch_1", "test_batch"), ("train", "test")])
def test_cifar_s_binary_files_are_read_train_first(parts, tiny, tmp_path, monkeypatch):
    """Of a small set in the official layout; features are those of the pixels, labels the fine ones."""
    fine = parts == ("train", "test")
    monkeypatch.setattr("vqabook.data.cifar.BATCH", 2)
    monkeypatch.setattr("vqabook.data.cifar.TRAIN_BATCHES", ("data_batch_1",))
    files = {name: draw(10 if name == "train" else 2, PIXELS) for name in parts}
    for name, images in files.items():
        labels = np.stack([np.zeros(len(images)), np.arange(len(images)) + 3][not fine :], 1).astype(np.uint8)
        np.concatenate([labels, images], 1).tofile(tmp_path / f"{name}.bin")
    extract_features(open_images(tmp_path), tmp_path / "f.h5", grid=1, dtype="float16", batch_size=3)
    store, n = open_features(tmp_path / "f.h5"), len(files[parts[0]])
    assert store.labels.tolist() == [3 + i for i in range(n)] + [3, 4]
    with h5py.File(tmp_path / "f.h5") as file:
        assert len(json.loads(file.attrs["classes"])) == (100 if fine else 10)
    last = Image.fromarray(files[parts[1]][1].reshape(3, 32, 32).transpose(1, 2, 0)).resize((8, 8), Image.BICUBIC)
    want = np.asarray(last, np.float32).mean((0, 1))
    np.testing.assert_allclose(store.gather(torch.tensor([n + 1]))[0, 0].numpy(), want, rtol=1e-3)


def test_an_image_folder_s_classes_are_its_folders(tiny, tmp_path):
    for name in ("dog/1.png", "cat/1.png", "cat/deep/2.png"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw(8, 8, 3)).save(tmp_path / "images" / name)
    extract_features(open_images(tmp_path / "images", "path"), tmp_path / "f.h5", grid=1)
    store = open_features(tmp_path / "f.h5")
    assert store.image_ids.tolist() == ["cat/1.png", "cat/deep/2.png", "dog/1.png"]
    assert store.labels.tolist() == [0, 0, 1]
    Image.fromarray(draw(8, 8, 3)).save(tmp_path / "images" / "stray.png")
    with pytest.raises(ValueError, match="every image lies in its class' folder: stray.png does not; move it"):
        open_folder(tmp_path / "images", "path")


def test_another_array_starts_anew(tmp_path):
    one, other = draw(3, 4, 4), draw(3, 4, 4)
    labels = np.array([0, 1, 0])
    assert hold_array(one).digest == hold_array(one.copy()).digest != hold_array(other).digest
    assert hold_array(one, labels).digest != hold_array(one, 1 - labels).digest


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((2, 4, 4, 3)), None, r"got float64 \[2, 4, 4, 3\]; multiply shares of white by 255"),
        (draw(2, 4, 4, 5), None, r"got \[2, 4, 4, 5\]; give three colours, or none"),
        (draw(2, 4, 4), np.zeros(3, np.int64), r"every image has one label: 2 images, labels \[3\]"),
    ],
)
def test_what_is_no_array_of_images_is_refused(images, labels, message):
    with pytest.raises(ValueError, match=message):
        hold_array(images, labels)


def test_files_that_are_no_arrays_are_refused(tmp_path):
    (tmp_path / "a.npy").write_bytes(b"no array")
    np.savez(tmp_path / "a.npz", pictures=draw(2, 4, 4))
    with pytest.raises(ValueError, match=r"an array of images is bytes .*a\.npy"):
        open_images(tmp_path / "a.npy")
    with pytest.raises(ValueError, match="images are called x, images, data, it has pictures"):
        open_images(tmp_path / "a.npz")
    with pytest.raises(ValueError, match="ids are of a folder of images, .* leave --ids out"):
        open_images(tmp_path / "a.npz", "name")
