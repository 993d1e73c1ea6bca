"""What a model that cannot see settles on: the answers that cost least by each loss of Guo et al. 2022, Sec. IV-C."""

from collections.abc import Iterable, Mapping

from jaxtyping import Float, Int
from torch import Tensor

from vqabook.losses.rescale import rescaling_weights


def settle_on(votes: Int[Tensor, " a"]) -> dict[str, Float[Tensor, " a"]]:
    """Name of a loss -> the probability of each answer, all to one question type, that makes its mean smallest.

    With n_i of N votes and weight µ_i (Eqs. 7-8): Soft-CE settles on n_i / N, and weighted on n_i µ_i / Σ n_k µ_k (Eq.
    13). Sigm-BCE settles on n_i / N, weighted as well, since Eq. 11 has µ_i before both of an answer's terms: a factor
    moves no minimum. Weights on the positive term alone, as released, settle on n_i µ_i / (n_i µ_i + N - n_i).
    """
    counts, total = votes.float(), votes.sum()
    pull = counts * rescaling_weights(votes[None])[0]
    return {
        "no weights": counts / total,
        "Soft-CE × µ": pull / pull.sum(),
        "Sigm-BCE × µ": counts / total,
        "Sigm-BCE, µ as released": pull / (pull + total - counts),
    }


def read_counts(records: Iterable[Mapping]) -> Mapping:
    """What `evaluation.statistics` counted where priors change; without such a record, no types and no shares."""
    counted = (r for r in records if (r["recipe"]["kind"], r["recipe"]["prior"]) == ("statistics", "changing"))
    return next((r["result"] for r in counted), {"types": {}, "in_type": {"by_vote": float("nan")}})
