"""CLEVR as the book shows it: kinds of answer by template."""

from __future__ import annotations

import json

from vqabook.catalogue.questions import describe_clevr


def test_description(real_data):
    description = describe_clevr(real_data("clevr_1500"))
    json.dumps([dict(description.classes), dict(description.facts), dict(description.picture.data)])
    assert description.rows == {"train": 10_000, "val": 5_000} and sum(description.classes.values()) == 10_000
    assert list(description.classes.values()) == sorted(description.classes.values(), reverse=True)
    series = description.picture.data["series"]
    assert series["yes/no"][:2] == [100.0, 100.0] and series["number"][5] == 100.0  # comparisons; single or
    assert all(abs(sum(group) - 100) < 0.1 for group in zip(*series.values(), strict=True))
    assert 25 < description.facts["accuracy on val of the family's most frequent answer, %"] < 60
