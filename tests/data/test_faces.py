"""LFW: the official layout, read where nothing may be written, cut by person; the seven people of the papers."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import fetch_lfw_people

from vqabook.data.image_tables import load_faces

PEOPLE = {"Ann_Bee": (40, 24), "Cy_Dee": (160, 12), "Few_Photos": (250, 3)}  # grey value, photographs


@pytest.fixture
def folder(tmp_path, cache):
    """A small LFW without scikit-learn's pair files."""
    home = tmp_path / "data" / "lfw_home"
    for person, (grey, n) in PEOPLE.items():
        (home / "lfw_funneled" / person).mkdir(parents=True)
        for i in range(1, n + 1):
            picture = Image.new("RGB", (250, 250), (grey, grey + i % 3, grey))
            picture.save(home / "lfw_funneled" / person / f"{person}_{i:04d}.jpg", quality=95)
    return home.parent


def test_the_cut(folder):
    data = load_faces(folder, min_faces_per_person=10)
    assert data.people == ("Ann Bee", "Cy Dee")
    tables = (data.train, data.valid, data.test)
    photos = torch.cat([table.side["photo"] for table in tables])
    assert sorted(photos.tolist()) == list(range(36))  # disjoint, and nothing is lost
    counts = [torch.bincount(table.target, minlength=2).tolist() for table in tables]
    assert [sum(c) for c in zip(*counts, strict=True)] == [24, 12] and counts[2] == [6, 3]
    again, other = (load_faces(folder, min_faces_per_person=10, seed=seed).test for seed in (0, 1))
    assert again.side["photo"].tolist() == data.test.side["photo"].tolist() != other.side["photo"].tolist()


def test_the_images(folder):
    train = load_faces(folder, min_faces_per_person=10).train
    assert train.inputs[0].dtype == torch.uint8 and train.inputs[0].shape[1:] == (1, 62, 47)
    batch = train.batch(torch.arange(len(train)))
    expected = torch.tensor([40.0, 160.0])[batch.target] / 255
    torch.testing.assert_close(batch.inputs[0].mean((1, 2, 3)), expected, atol=3 / 255, rtol=0)
    assert batch.inputs[0].dtype == torch.float32


def test_the_folder_lfw_home_itself(folder):
    assert len(load_faces(folder / "lfw_home", min_faces_per_person=10).people) == 2


def test_nothing_is_written_beside_the_photographs(folder):
    before = sorted(folder.rglob("*"))
    load_faces(folder, min_faces_per_person=10)
    assert sorted(folder.rglob("*")) == before


def test_the_rows_are_scikit_learns(folder):
    for person, (_, n) in PEOPLE.items():
        for i in range(1, n + 1):
            noise = np.random.default_rng(i).integers(0, 256, (250, 250, 3), dtype=np.uint8)
            Image.fromarray(noise).save(folder / "lfw_home/lfw_funneled" / person / f"{person}_{i:04d}.jpg")
    for name in ("pairs.txt", "pairsDevTrain.txt", "pairsDevTest.txt"):
        (folder / "lfw_home" / name).touch()
    bunch = fetch_lfw_people(data_home=folder, min_faces_per_person=10, resize=0.5, download_if_missing=False)
    data = load_faces(folder, min_faces_per_person=10)
    assert data.people == tuple(bunch.target_names)
    for table in (data.train, data.valid, data.test):
        rows = table.side["photo"].numpy()
        assert table.target.tolist() == bunch.target[rows].tolist()
        assert np.array_equal(table.inputs[0][:, 0], np.rint(bunch.images[rows] * 255))


def test_a_changed_photograph_is_seen(folder):
    before = load_faces(folder, min_faces_per_person=10)
    shutil.rmtree(folder / "lfw_home/lfw_funneled/Few_Photos")
    person = folder / "lfw_home/lfw_funneled/Cy_Dee"
    for i in range(13, 20):
        shutil.copy(person / "Cy_Dee_0001.jpg", person / f"Cy_Dee_{i:04d}.jpg")
    after = load_faces(folder, min_faces_per_person=10)
    assert len(after.train) + len(after.valid) + len(after.test) == 43 > len(before.train) + len(before.valid)


def test_refusals(folder, tmp_path):
    with pytest.raises(ValueError, match="recognition needs two people or more, .* has 0 with 100 photographs; lower"):
        load_faces(folder, min_faces_per_person=100)
    with pytest.raises(ValueError, match="recognition needs two people or more, .* has 1 with 20 photographs; lower"):
        load_faces(folder, min_faces_per_person=20)
    with pytest.raises(FileNotFoundError, match="LFW is a folder lfw_funneled .* and there is none; check data_root"):
        load_faces(tmp_path / "none")


@pytest.mark.parametrize("size", [0, 300])
def test_a_photograph_that_does_not_decode(folder, size):
    photo = folder / "lfw_home/lfw_funneled/Ann_Bee/Ann_Bee_0007.jpg"
    os.truncate(photo, size)
    with pytest.raises(
        ValueError, match="every photograph of LFW is a whole JPEG: .*Bee_0007.jpg is not .*; bring a whole"
    ):
        load_faces(folder, min_faces_per_person=10)


def test_without_pillow(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    with pytest.raises(
        RuntimeError, match=r"needs the package pillow, which is not installed: pip install 'vqabook\[data\]'"
    ):
        load_faces(folder, min_faces_per_person=10)


def test_the_seven_people(real_data, cache):
    root = real_data("lfw_home")
    data = load_faces(root)
    counts = sum(torch.bincount(t.target, minlength=7) for t in (data.train, data.valid, data.test))
    expected = {"Ariel Sharon": 77, "Colin Powell": 236, "Donald Rumsfeld": 121, "George W Bush": 530}
    expected |= {"Gerhard Schroeder": 109, "Hugo Chavez": 71, "Tony Blair": 144}
    assert dict(zip(data.people, counts.tolist(), strict=True)) == expected and counts.sum() == 1288
    assert data.train.inputs[0].shape[1:] == (1, 62, 47)
