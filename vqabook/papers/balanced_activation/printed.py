"""Tables 1 and 2 of Ren et al. 2020 as printed, with their ± and all their rows; a row of their longer paper."""

from vqabook.papers.balanced_activation.setting import TABLE

Column = tuple[int, int]  # of Table 1: classes, imbalance


def _name_rows(columns: dict[Column, tuple[float, ...]]) -> dict[Column, dict[str, float]]:
    return {key: dict(zip(TABLE, column, strict=True)) for key, column in columns.items()}


# Table 1: (classes, imbalance) -> a column, top-1 accuracy in percent
PRINTED = _name_rows({
    (10, 200): (71.2, 72.5, 68.3, 71.8, 72.6, 71.2, 72.8, 79.0),
    (10, 100): (77.4, 78.6, 77.8, 77.1, 78.2, 77.2, 76.7, 83.1),
    (10, 10): (90.0, 90.1, 90.2, 90.3, 89.9, 90.2, 89.9, 90.9),
    (100, 200): (41.0, 36.7, 37.8, 40.2, 39.9, 41.0, 43.3, 45.9),
    (100, 100): (45.3, 42.3, 42.6, 43.8, 44.6, 45.4, 47.3, 50.3),
    (100, 10): (61.9, 61.4, 61.2, 60.0, 59.8, 62.0, 59.7, 63.1),
})  # fmt: skip
# behind ± in the same cells; the paper does not say of how many runs
SPREAD = _name_rows({
    (10, 200): (0.3, 0.2, 0.3, 2.1, 1.8, 0.3, 0.2, 0.8),
    (10, 100): (0.8, 0.6, 2.2, 0.2, 1.1, 0.2, 0.1, 0.4),
    (10, 10): (0.2, 0.2, 0.2, 0.3, 0.3, 0.3, 0.3, 0.4),
    (100, 200): (0.3, 0.2, 0.1, 0.5, 0.1, 0.3, 0.1, 0.3),
    (100, 100): (0.3, 0.8, 0.4, 0.1, 0.4, 0.1, 0.1, 0.3),
    (100, 10): (0.1, 0.3, 0.3, 0.6, 1.1, 0.3, 0.3, 0.2),
})  # fmt: skip
# Ren et al. 2020, "Balanced Meta-Softmax", arXiv:2007.10740, Table 2, row BALMS: cells that others quote as well
LONGER: dict[Column, dict[str, float]] = {
    (10, 100): {"balanced meta-softmax": 84.9},
    (100, 100): {"balanced meta-softmax": 50.8},
}
# Table 2, LVIS 1.0: AP of masks; of frequent, common, rare categories; AP of boxes, which test-dev does not have
METRICS = ("test.overall", "test.f", "test.c", "test.r", "box.overall")
_CELLS: dict[tuple[str, str], dict[str, tuple[float, ...]]] = {
    ("ResNet-50", "val"): {
        "repeat factor": (22.1, 27.8, 21.1, 11.6, 23.6), "crt": (23.2, 27.8, 22.5, 14.7, 24.8),
        "lws": (23.3, 27.8, 22.5, 14.9, 24.8), "equalisation": (24.2, 27.5, 24.2, 16.5, 25.8),
        "balanced sigmoid": (25.1, 29.3, 24.0, 18.3, 26.7),
    },
    ("ResNet-101", "val"): {
        "repeat factor": (23.2, 28.8, 22.0, 13.5, 24.7), "crt": (23.9, 28.7, 22.7, 15.8, 25.6),
        "lws": (24.2, 28.8, 23.1, 16.5, 24.7), "equalisation": (25.4, 28.8, 25.3, 18.5, 27.3),
        "balanced sigmoid": (26.4, 30.2, 25.4, 20.1, 28.4),
    },
    ("ResNet-101", "test-dev"): {"balanced sigmoid": (26.1, 30.4, 25.0, 19.5)},
}  # fmt: skip
DETECTED: dict[tuple[str, str], dict[str, dict[str, float]]] = {  # (backbone, split) -> row -> metric -> percent
    part: {row: dict(zip(METRICS, values, strict=False)) for row, values in rows.items()}
    for part, rows in _CELLS.items()
}
