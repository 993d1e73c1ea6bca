"""GloVe's words in numbers."""

from pathlib import Path

import numpy as np
from jaxtyping import Float32

from vqabook.catalogue.description import Description, Picture
from vqabook.data.glove import open_glove

_NAMED = {  # what the questions of the papers are about
    "colours": "red blue yellow gray pink white",
    "numbers": "one two eight ten hundred",
    "answers": "yes no left right",
    "animals": "dog cat horse elephant giraffe zebra bird",
    "shapes": "cube sphere cylinder circle square triangle",
}


def describe(folder: Path) -> Description:
    """GloVe in numbers; its picture is the plane in which words that the papers' questions need differ most."""
    words, vectors = open_glove(folder)
    norms = np.linalg.norm(vectors, axis=1)
    named = {word: kind for kind, group in _NAMED.items() for word in group.split()}
    row_of = {word: row for row, word in enumerate(words) if word in named}
    kept = [word for word in named if word in row_of]
    facts = {
        "numbers a word": vectors.shape[1],
        "norm": f"{norms.mean():.2f} on average, {norms.min():.2f} to {norms.max():.2f}",
        "digits 0 to 9 that have a vector": len(set("0123456789").intersection(words)),
    }
    rows = np.array([row_of[word] for word in ("red", "two", "yes", "dog", "cube") if word in row_of], int)
    cosine = (vectors @ vectors[rows].T) / (norms[:, None] * norms[rows])
    for column, row in zip(cosine.T, rows, strict=True):
        nearest = [words[i] for i in np.argsort(-column)[:6] if i != row]
        facts[f"nearest to {words[row]!r}"] = ", ".join(nearest[:5])
    points, share = _find_plane(vectors[[row_of[word] for word in kept]])
    picture = Picture(
        "points",
        {"x": points[:, 0].tolist(), "y": points[:, 1].tolist(), "labels": kept},
        f"{len(kept)} words ({', '.join(_NAMED)}) in the plane of their first two principal components, "
        f"{100 * share:.0f}\u00a0% of their variance. Words of a kind lie together: the vectors know that 'red' and "
        "'blue' are rivals for an answer, but not which of them is true.",
    )
    return Description({"words": len(words)}, {}, 0, picture, facts)


def _find_plane(vectors: Float32[np.ndarray, "n d"]) -> tuple[Float32[np.ndarray, "n 2"], float]:
    """Coordinates along the first two principal components, and the share of variance; the largest are positive."""
    centred = vectors - vectors.mean(0)
    left, scale, _ = np.linalg.svd(centred, full_matrices=False)
    points = left[:, :2] * scale[:2]
    points *= np.sign(points[np.abs(points).argmax(0), [0, 1]])
    return points.round(3), float((scale[:2] ** 2).sum() / (scale**2).sum())
