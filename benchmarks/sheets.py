"""CIFAR-10's PNG sheets to its official binary files: a transpose a sheet here, a loop over images the usual way.

    python benchmarks/sheets.py

Sheets of random pixels, the same size as the real ones (six of 10,000 x 1024, harder to decode than photographs). The
usual way crops an image's row out of the decoded sheet, reorders it and writes its record; it is timed on a sample of
images. Decoding, which nobody is spared, is in both. One core, about 15 seconds, most of which makes the sheets.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from vqabook.data.cifar import BATCH, TRAIN_BATCHES, prepare_sheets

SAMPLE = 1000
GOAL_S = 30.0


def make_sheets(folder: Path, rng: np.random.Generator) -> None:
    for name in (*TRAIN_BATCHES, "test_batch"):
        pixels = rng.integers(0, 256, (BATCH, 1024, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png", compress_level=1)
    for name, n in (("train", 5 * BATCH), ("test", BATCH)):
        (folder / f"{name}_lables.json").write_text(json.dumps(rng.integers(0, 10, n).tolist()), "utf-8")


def usual_seconds(folder: Path, target: Path, n: int) -> float:
    """Seconds for all six sheets: decoding one, six times; and the loop over `n` images, for 60,000."""
    labels = json.loads((folder / "test_lables.json").read_bytes())
    started = time.perf_counter()
    sheet = Image.open(folder / "test_batch.png")
    sheet.load()
    decoded = time.perf_counter()
    with target.open("wb") as file:
        for row in range(n):
            image = np.array(sheet.crop((0, row, 1024, row + 1))).reshape(32, 32, 3)
            file.write(bytes([labels[row]]) + image.transpose(2, 0, 1).tobytes())
    return 6 * (decoded - started) + (time.perf_counter() - decoded) * 6 * BATCH / n


def main() -> dict:
    """Seconds of both, and how many times faster ours is. Raises unless the two write the same bytes."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "sheets", Path(folder) / "binary"
        source.mkdir()
        target.mkdir()
        make_sheets(source, np.random.default_rng(0))
        started = time.perf_counter()
        prepare_sheets(source, target)
        ours = time.perf_counter() - started
        usual = usual_seconds(source, target / "usual.bin", SAMPLE)
        if not (target / "test_batch.bin").read_bytes().startswith((target / "usual.bin").read_bytes()):
            raise AssertionError("both ways must write the same records")
    print(
        f"CIFAR-10 sheets: {ours:.1f} s here (goal {GOAL_S:.0f} s), {usual:.1f} s the usual way: {usual / ours:.1f} x"
    )
    return {
        "name": "CIFAR-10 sheets to binary",
        "ours_s": ours,
        "usual_s": usual,
        "ratio": usual / ours,
        "goal_s": GOAL_S,
    }


if __name__ == "__main__":
    main()
