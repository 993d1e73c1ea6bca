"""What β weighs in Eq. 5, which sums over the answers, and in the released code, which averages over them."""

from dataclasses import dataclass

import torch

from vqabook.losses import choice


@dataclass(frozen=True)
class Scales:
    """`equal`: whether the release is Eq. 5 plus the teacher's entropy, over the answers; `moved`: see `as_rows`."""

    beta: float
    equal: bool
    moved: float

    def as_rows(self) -> dict[str, str]:
        """Both findings in words -> what came out."""
        return {
            "released loss × answers − the teacher's entropy is Eq. 5": "yes" if self.equal else "no",
            "β = 50 of the release, on the scale of Eq. 5": f"{self.beta:.2f}",
            "examples with another specialist by the release, where β alone decides": f"{100 * self.moved:.0f} %",
        }


def compare_scales(answers: int, *, beta: float = 50.0, members: int = 5, examples: int = 1000) -> Scales:
    """Both losses on random logits of `members` and their base models."""
    generator = torch.Generator().manual_seed(0)
    logits, teacher = torch.randn(2, members, examples, answers, generator=generator, dtype=torch.float64)
    summed, released = choice.distillation(logits, teacher), choice.released_distillation(logits, teacher)
    entropy = torch.special.entr(teacher.softmax(-1)).sum(-1)
    equal = torch.allclose(answers * released - entropy, summed)
    moved = (summed.argmin(0) != released.argmin(0)).double().mean()
    return Scales(beta / answers, bool(equal), float(moved))
