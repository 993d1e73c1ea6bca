"""What a training's history says: how loss and accuracy go together, and when a level is reached.

Ilievski & Feng 2017, arXiv:1708.00584, Figs. 1-2 and the abstract's convergence.
"""

from collections.abc import Mapping, Sequence

import numpy as np


def curves(history: Sequence[Mapping]) -> dict:
    """How validation loss and accuracy go together from the middle of training on (Figs. 1-2).

    "modal" and "votes" are plain and soft cross-entropy, either measured of every run, whichever it trains: the loss in
    the middle and at the end, its `rise`, and `together`, its correlation with accuracy over the second half.
    """
    history = history[(len(history) + 1) // 2 - 1 :]
    accuracy = np.array([row["valid"] for row in history])
    read: dict = {"accuracy_middle": float(accuracy[0]), "accuracy_last": float(accuracy[-1])}
    for of in ("modal", "votes"):
        loss = np.array([row["valid_loss"][of] for row in history])
        moved = len(loss) > 2 and loss.std() > 0 and accuracy.std() > 0
        together = float(np.corrcoef(loss, accuracy)[0, 1]) if moved else None
        first, last = float(loss[0]), float(loss[-1])
        read[of] = {"middle": first, "last": last, "rise": last - first, "together": together}
    return read


def epochs_to_reach(accuracy: Sequence[float], level: float) -> float:
    """Epochs until validation accuracy is at `level`, between epochs on a line.

    A run that starts above counts one epoch; one that never gets there one more than it was trained, which is too few.
    """
    epoch = next((epoch for epoch, now in enumerate(accuracy) if now >= level), len(accuracy))
    if epoch in (0, len(accuracy)):
        return float(epoch + 1)
    before, now = accuracy[epoch - 1 : epoch + 1]
    return epoch + (level - before) / (now - before)
