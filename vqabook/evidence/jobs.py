"""What a page's missing runs take, and how jobs share them: by the seconds that recorded runs like them took."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from vqabook.evidence.record import key_of

SECONDS = {"smoke": 2.0, "small": 20.0, "real": 150.0, "paper": 7200.0}  # a run, where none of its kind is recorded


@dataclass(frozen=True)
class Work:
    """Runs to be made, each once: their names, seeds, and what each takes, in seconds of the machine that recorded."""

    names: tuple[str, ...]  # as neighbours share most: see `_order`
    seeds: tuple[int, ...]
    seconds: tuple[float, ...]

    @classmethod
    def of(cls, recipes: Sequence[Mapping], records: Sequence[Mapping], *, anew: bool) -> "Work":
        """What is left of `recipes`; `records` say how long runs take and, unless `anew`, which need not be made.

        A seed that misses a run counts whole: where its records are of another machine kind, it is made whole.
        """
        unique = {key_of(recipe): recipe for recipe in _order(recipes)}
        recorded = set() if anew else {key_of(record["recipe"]) for record in records}
        missing = {recipe["seed"] for key, recipe in unique.items() if key not in recorded}
        asked = {key: recipe for key, recipe in unique.items() if recipe["seed"] in missing}
        return cls(tuple(asked), tuple(r["seed"] for r in asked.values()), tuple(estimate(asked.values(), records)))

    def deal_out(self, n: int) -> dict[str, int]:
        """The job, 0 to n - 1, that makes each run: neighbours, of about the same time in all; none is idle if it can.

        A seed's runs stay together while there are seeds enough, since pairs are of one machine kind. With more jobs
        than seeds, a seed's runs are dealt to several; the nodes are then of one kind.
        """
        seeds = sorted(set(self.seeds))
        if n > len(seeds):
            return dict(zip(self.names, _divide(self.seconds, n), strict=True))
        whole = [sum(s for s, of in zip(self.seconds, self.seeds, strict=True) if of == seed) for seed in seeds]
        jobs = dict(zip(seeds, _divide(whole, n), strict=True))
        return {name: jobs[seed] for name, seed in zip(self.names, self.seeds, strict=True)}

    def count_jobs(self, minutes: float, workers: int = 1) -> int:
        """The fewest jobs of so many processes that last at most `minutes` each, or have no more runs than processes.

        One where nothing is to be made.
        """
        for n in range(1, len(self.names)):
            if all(s <= 60 * minutes * workers or runs <= workers for runs, s in self.list_loads(n)):
                return n
        return max(1, len(self.names))

    def list_loads(self, n: int) -> list[tuple[int, float]]:
        """How many runs each of `n` jobs makes, and their seconds in one process."""
        loads = [(0, 0.0)] * n
        for job, of in zip(self.deal_out(n).values(), self.seconds, strict=True):
            loads[job] = (loads[job][0] + 1, loads[job][1] + of)
        return loads

    def tell(self, n: int, workers: int = 1) -> str:
        """What there is to do, and how long `n` jobs of so many processes take."""
        longest = max(seconds for _, seconds in self.list_loads(n)) / workers
        whole, job = (_clock(seconds) for seconds in (sum(self.seconds), longest))
        return f"{len(self.names)} runs to make, {whole} of one process; jobs: {n}, the longest {job}"


def estimate(recipes: Iterable[Mapping], records: Iterable[Mapping]) -> Iterator[float]:
    """Seconds of a run of each recipe: the mean of the recorded runs that are most like it."""
    took = defaultdict(list)
    for record in records:
        for like in _list_likes(record["recipe"]):
            took[like].append(record["provenance"]["seconds"])
    for recipe in recipes:
        known = (fmean(took[like]) for like in _list_likes(recipe) if like in took)
        yield next(known, SECONDS.get(recipe.get("profile", ""), SECONDS["small"]))


def _list_likes(asked: Mapping) -> list[tuple]:
    """What other runs have in common with this one, from all but the seed to the profile."""
    others = json.dumps({name: value for name, value in asked.items() if name != "seed"}, sort_keys=True)
    profile, part, method = asked.get("profile"), asked.get("part") or asked.get("kind"), asked.get("variant")
    return [(others,), (profile, part, method, asked.get("prior")), (profile, part), (profile,)]


def _order(recipes: Sequence[Mapping]) -> list[Mapping]:
    """By seed, then by what most have in common: runs that go on from the same first stage are neighbours."""
    fields = {name for recipe in recipes for name in recipe} - {"seed", "variant"}
    words = [{name: json.dumps(recipe.get(name), sort_keys=True) for name in fields} for recipe in recipes]
    fewest = sorted(fields, key=lambda name: (len({of[name] for of in words}), name))
    order = sorted(range(len(recipes)), key=lambda i: (recipes[i]["seed"], [words[i][name] for name in fewest]))
    return [recipes[i] for i in order]


def _divide(seconds: Sequence[float], n: int) -> Iterator[int]:
    """Which of `n` neighbouring parts each belongs to; each part takes its fair share of what is left."""
    part, runs, load, left = 0, 0, 0.0, sum(seconds)
    for at, of in enumerate(seconds):
        full = load + of / 2 > left / (n - part) or len(seconds) - at < n - part
        if runs and part < n - 1 and full:
            part, runs, load, left = part + 1, 0, 0.0, left - load
        runs, load = runs + 1, load + of
        yield part


def _clock(seconds: float) -> str:
    """Hours and minutes."""
    return "{}:{:02} h".format(*divmod(round(seconds / 60), 60))
