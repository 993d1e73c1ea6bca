"""Who of an ensemble knows what: the examples that each member owns, and whether that depends on what they are about.

Mun et al. 2018, "Learning to Specialize with Knowledge Distillation for Visual Question Answering", Fig. 3, Table 3.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

FEWEST = 20  # rows of a family whose owners are counted


class Dependence(NamedTuple):
    """How much which member answers says about an example's group, against chance."""

    information: float  # mutual information, nats
    by_chance: float  # its mean where members are dealt out at random: above zero, for few examples a lot
    p: float  # share of such deals, this one among them, with as much


def dependence(
    member: Int[np.ndarray, " n"], group: Int[np.ndarray, " n"], *, deals: int = 999, seed: int = 0
) -> Dependence:
    """Mutual information of the member that answers an example and the example's group, with a permutation test.

    Each deal gives the same members to other examples. ValueError where there is one group or one member only.
    """
    members, member = np.unique(member, return_inverse=True)
    groups, group = np.unique(group, return_inverse=True)
    if min(len(members), len(groups)) < 2:
        raise ValueError(
            f"specialising is among members and among groups, two of each or more, got {len(members)} and "
            f"{len(groups)}; give all of them"
        )
    rng, shape = np.random.default_rng(seed), (len(members), len(groups))
    information = _information(member, group, shape)
    dealt = np.array([_information(rng.permutation(member), group, shape) for _ in range(deals)])
    return Dependence(information, float(dealt.mean()), float((1 + (dealt >= information).sum()) / (1 + deals)))


def measure_dependence(owner: Int[np.ndarray, " n"], group: Int[np.ndarray, " n"]) -> dict:
    """How much an example's owner says about its group, in nats, and against chance."""
    if min(len(np.unique(owner)), len(np.unique(group))) < 2:  # one member owns all: nothing depends on anything
        return {"information": 0.0, "by_chance": 0.0, "p": 1.0, "beyond_chance": 0.0}
    measured = dependence(owner, group)
    return measured._asdict() | {"beyond_chance": measured.information - measured.by_chance}


def count_owned(cost: Float[np.ndarray, "n m"], group: Int[np.ndarray, " n"], families: tuple[str, ...]) -> dict:
    """Fig. 3: how many of each family's rows each member owns; and whether that is chance."""
    owner = cost.argmin(1)
    counts = np.zeros((len(families), cost.shape[1]), dtype=np.int64)
    np.add.at(counts, (group, owner), 1)
    there = np.flatnonzero(counts.sum(1) >= FEWEST)
    owned = {"families": [families[i] for i in there], "owned": counts[there].tolist()}
    return owned | measure_dependence(owner, group)


def find_specialities(owned: Mapping) -> dict[int, tuple[str, float]]:
    """Table 3: of each member that owns the most of some family, the one of which it owns the largest share (%)."""
    main: dict[int, tuple[str, float]] = {}
    for family, counts in zip(owned["families"], owned["owned"], strict=True):
        member, share = int(np.argmax(counts)), 100 * max(counts) / sum(counts)
        if share > main.get(member, ("", 0.0))[1]:
            main[member] = (family, share)
    return main


def find_confidence(result: Mapping) -> float | None:
    """Mean probability (%) that members give to answers which are wrong, of the test examples that a record keeps.

    None where none is wrong.
    """
    firsts = [(answers[0], example["truth"]) for example in result["shown"] for answers in example["members"]]
    wrong = [probability for (answer, probability), truth in firsts if answer != truth]
    return 100 * float(np.mean(wrong)) if wrong else None


def _information(member: np.ndarray, group: np.ndarray, shape: tuple[int, int]) -> float:
    joint = np.bincount(member * shape[1] + group, minlength=shape[0] * shape[1]).reshape(shape) / len(member)
    apart, there = joint.sum(1, keepdims=True) * joint.sum(0), joint > 0
    return float((joint[there] * np.log(joint[there] / apart[there])).sum())
