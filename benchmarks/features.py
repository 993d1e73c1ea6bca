"""Bottom-up attention TSV -> feature file: a stream here, against copying the bytes and against the usual script.

A made-up TSV of 2 GB (36 boxes x 2048 features, 400 kB a line) is converted in a process of its own, whose peak memory
is read. Beside it: `cp` of the same bytes, and the usual way (csv module, base64, numpy, membership in a list, rows
stored in chunked HDF5) on 5 % of the lines, times 20, which is kind to it: its list makes it quadratic. Also: opening
the result, and opening 123,287 x 36 x 2048 float16 (18 GB, sparse).
"""

from __future__ import annotations

import base64
import csv
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

from vqabook.features.store import open_features

GOAL_RSS, GOAL_OPEN, SAMPLE = 2e9, 1.0, 0.05
FIELDS = ("image_id", "image_w", "image_h", "num_boxes", "boxes", "features")
CONVERT = """
import resource, sys, time
from pathlib import Path
from vqabook.features.convert_tsv import convert_tsv
start = time.perf_counter()
convert_tsv([Path(sys.argv[1])], Path(sys.argv[2]))
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def make_tsv(path: Path, n_bytes: float) -> int:
    """A few random rows again and again with new ids; returns their number."""
    rng = np.random.default_rng(0)
    texts = [[base64.b64encode(rng.random((36, width), dtype=np.float32)) for width in (4, 2048)] for _ in range(8)]
    n = 0
    with open(path, "wb") as file:
        while file.tell() < n_bytes:
            file.write(b"%d\t640\t480\t36\t%s\t%s\r\n" % (n, *texts[n % 8]))
            n += 1
    return n


def usual_seconds(tsv: Path, out: Path, n: int) -> float:
    """The way of the papers' converters, on the first `n` lines."""
    csv.field_size_limit(sys.maxsize)
    start = time.perf_counter()
    left = list(range(n))
    with open(tsv, encoding="utf-8") as file, h5py.File(out, "w") as store:
        features = store.create_dataset("image_features", (n, 36, 2048), "f")
        boxes = store.create_dataset("image_bb", (n, 36, 4), "f")
        for i, row in enumerate(csv.DictReader(file, FIELDS, delimiter="\t")):
            if i == n:
                break
            if int(row["image_id"]) in left:
                left.remove(int(row["image_id"]))
            count = int(row["num_boxes"])
            boxes[i] = np.frombuffer(base64.b64decode(row["boxes"]), np.float32).reshape(count, -1)
            features[i] = np.frombuffer(base64.b64decode(row["features"]), np.float32).reshape(count, -1)
    return time.perf_counter() - start


def sparse_store(path: Path) -> None:
    with h5py.File(path, "w") as file:
        hole = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        hole.set_layout(h5py.h5d.CONTIGUOUS)
        hole.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        hole.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple((123_287, 36, 2048))
        h5py.h5d.create(file.id, b"features", h5py.h5t.py_create(np.dtype(np.float16)), space, hole)
        file["image_ids"], file["boxes"] = np.arange(123_287), np.zeros((123_287, 36, 4), np.float32)


def open_seconds(path: Path) -> float:
    start = time.perf_counter()
    open_features(path)
    return time.perf_counter() - start


def main() -> dict:
    n_bytes = float(os.environ.get("BENCH_BYTES", 2e9))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tsv = folder / "x.tsv"
        n = make_tsv(tsv, n_bytes)
        size = tsv.stat().st_size
        start = time.perf_counter()
        shutil.copyfile(tsv, folder / "copy.tsv")
        with open(folder / "copy.tsv", "rb+") as file:
            os.fsync(file.fileno())
        copy = time.perf_counter() - start
        (folder / "copy.tsv").unlink()
        command = [sys.executable, "-c", CONVERT, tsv, folder / "x.h5"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8")
        ours, rss = map(float, done.stdout.split())
        few = max(1, int(SAMPLE * n))
        usual = usual_seconds(tsv, folder / "usual.h5", few) * n / few
        sparse_store(folder / "18gb.h5")
        opened, opened_large = open_seconds(folder / "x.h5"), open_seconds(folder / "18gb.h5")
    rates = {k: size / s / 1e6 for k, s in {"ours": ours, "copy": copy, "usual": usual}.items()}
    print(
        f"TSV of {size / 1e9:.1f} GB: {rates['ours']:.0f} MB/s here, {rates['copy']:.0f} MB/s cp, {rates['usual']:.0f} "
        f"MB/s the usual way (5 % of it, times 20): {usual / ours:.1f} x; peak {rss / 1e6:.0f} MB (goal 2000)"
    )
    print(f"opening: {1e3 * opened:.0f} ms; 18 GB: {1e3 * opened_large:.0f} ms (goal {1e3 * GOAL_OPEN:.0f})")
    return {
        "name": "features",
        "ours_s": ours,
        "usual_s": usual,
        "ratio": usual / ours,
        "copy_s": copy,
        "rss_bytes": rss,
        "goal_rss_bytes": GOAL_RSS,
        "open_s": opened,
        "open_18gb_s": opened_large,
    }


if __name__ == "__main__":
    main()
