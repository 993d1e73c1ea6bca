"""Feature codes: uint8 with a range for every channel, and principal components from exact second moments."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

TAIL = 0.0005  # share of a channel's values that each end of the range cuts off


@dataclass(frozen=True)
class Codes:
    """x is stored as round((x - offset) / scale), clipped to 0 ... levels - 1, and read as codes * scale + offset."""

    scale: Float[np.ndarray, " d"]
    offset: Float[np.ndarray, " d"]
    levels: int = 256

    def encode(self, x: Float[np.ndarray, "*o d"]) -> UInt8[np.ndarray, "*o d"]:
        """The nearest code of every value."""
        steps = (x - self.offset) / self.scale
        return np.rint(steps, out=steps).clip(0, self.levels - 1, out=steps).astype(np.uint8)


def fit_codes(x: Float[np.ndarray, "n d"], *, levels: int = 256, tail: float = TAIL) -> Codes:
    """A range for every channel: from its `tail` quantile to its 1 - `tail` quantile, in levels - 1 equal steps."""
    if not 2 <= levels <= 256:
        raise ValueError(f"uint8 codes have 2 to 256 levels, got {levels}")
    ends = [
        np.quantile(x[:, i : i + 128].astype(np.float32), (tail, 1 - tail), axis=0) for i in range(0, x.shape[1], 128)
    ]
    low, high = np.concatenate(ends, axis=1).astype(np.float32)
    return Codes(np.maximum((high - low) / (levels - 1), np.finfo(np.float32).tiny), low, levels)


def spread(n: int, k: int) -> list[int]:
    """At most k of n places, evenly apart."""
    return np.unique(np.linspace(0, n - 1, k).round().astype(int)).tolist()


def to_half(x: Float[np.ndarray, "*o d"], where: str) -> Float[np.ndarray, "*o d"]:
    """float16. Raises, naming `where`, if a number is beyond it."""
    with np.errstate(over="ignore"):
        half = np.ascontiguousarray(x, np.float16)
    if np.bitwise_and(half.view(np.uint16), 0x7FFF).max() >= 0x7C00:  # numpy's isfinite is 10 x slower on float16
        raise ValueError(f"float16 ends at 65504: {where} is beyond; convert it to uint8")
    return half


@dataclass(frozen=True)
class Components:
    """Principal components: x becomes (x - mean) @ components; components are orthonormal, of falling variance."""

    mean: Float[np.ndarray, " d"]
    components: Float[np.ndarray, "d k"]

    def project(self, x: Float[np.ndarray, "*o d"]) -> Float[np.ndarray, "*o k"]:
        """Coordinates along the components."""
        return (x - self.mean) @ self.components


def fit_components(blocks: Iterable[np.ndarray], k: int) -> Components:
    """The first k components of all rows of the blocks [n, d], from their mean and covariance in float64.

    Exact: nothing is sampled. A component's largest entry is positive, so that its sign is no accident.
    """
    n, total, moments = 0, np.zeros(()), np.zeros(())
    for block in blocks:
        x = block.astype(np.float64)
        n, total, moments = n + len(x), total + x.sum(0), moments + x.T @ x
    d = len(total)
    if not 1 <= k <= min(n, d):
        raise ValueError(f"there are at most {min(n, d)} components of {n} regions {d} wide, got {k}; ask for fewer")
    mean = total / n
    vectors = np.linalg.eigh(moments / n - np.outer(mean, mean))[1][:, ::-1][:, :k]
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(0), np.arange(k)])
    return Components(mean.astype(np.float32), np.ascontiguousarray(vectors, np.float32))
