"""Calls that take turns, round after round, so that a busy machine slows all alike. What the benchmarks share."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
import torch


def take_turns(
    calls: Mapping[str, Callable[[int], object]],
    rounds: int,
    *,
    warm: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, np.ndarray]:
    """Seconds of each call, round by round, after `warm` rounds that do not count; a call gets the round's number.

    `time.process_time` as `clock` counts this process's own work, whatever else the machine does.
    """
    rng, times = np.random.default_rng(0), {name: [] for name in calls}
    for turn in range(-warm, rounds):
        for name in rng.permutation(list(calls)).tolist():  # so that none always comes after the same other
            start = clock()
            calls[name](turn)
            if torch.cuda.is_initialized():
                torch.cuda.synchronize()
            if turn >= 0:
                times[name].append(clock() - start)
    return {name: np.array(seconds) for name, seconds in times.items()}


def median_ratio(seconds: np.ndarray, reference: np.ndarray) -> float:
    """Of each round its own ratio, then their median: a slow round slows both."""
    return float(np.median(seconds / reference))


def print_ratios(ratio: Mapping[str, float], goals: Mapping[str, float]) -> None:
    """A line for each name, with its goal where it has one."""
    for name, value in ratio.items():
        goal = f" (goal {goals[name]})" if name in goals else ""
        print(f"{name}: {value:.3f} x{goal}")
