"""TREC as the book shows it."""

from __future__ import annotations

import json

from vqabook.catalogue.questions import describe_trec


def test_description(real_data):
    description = describe_trec(real_data("nltk_data"))
    json.dumps([dict(description.classes), dict(description.facts), dict(description.picture.data)])
    assert description.rows == {"train": 5452, "test": 500} and list(description.classes)[0] == "ENTY"
    assert all(abs(sum(s) - 100) < 0.1 for s in description.picture.data["series"].values())
