"""A page's parameters: typed, checked, and refused in one sentence before anything runs.

papermill only warns about a parameter that the notebook lacks and hands every `-p` list over as text; both end here.
"""

import ast
import contextlib
import dataclasses
import math
import os
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from vqabook.files import at_home

T = TypeVar("T", bound="Checked")
Rule = tuple[str, Callable[[Any], bool]]  # what a value must be, in words and as a test
_IPYTHON = {"In", "Out", "exit", "quit", "get_ipython", "open"}
MOST_THREADS = 4096
LARGEST = 2**31  # of whole numbers: nothing here is counted beyond it


def knob(default: Any, *, rule: Rule | None = None, empty: bool = False) -> Any:
    """A dataclass field with an optional rule for its value, or for each item of a list; `empty`: a list may be."""
    return dataclasses.field(default=default, metadata={"rule": rule, "empty": empty})


def positive() -> Rule:
    """Rule: greater than zero."""
    return "must be positive", lambda x: x > 0


def within(low: float, high: float) -> Rule:
    """Rule: from `low` to `high`, both included."""
    return f"must be in [{low}, {high}]", lambda x: low <= x <= high


def dropped() -> Rule:
    """Rule: a share that goes, from 0 to below 1: of all of a layer nothing could be learnt."""
    return "must be in [0, 1)", lambda x: 0 <= x < 1


def one_of(*choices: Any) -> Rule:
    """Rule: one of `choices`."""
    return f"is one of {', '.join(map(str, choices))}", lambda x: x in choices


def folder() -> Rule:
    """Rule: the name of a folder, there or not."""
    return "names a folder", lambda text: not at_home(text).is_file()


@dataclasses.dataclass(frozen=True)
class Checked:
    """A dataclass whose fields keep to their rules, however it is made."""

    def __post_init__(self):
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            if (value := getattr(self, field.name)) is not None:
                object.__setattr__(self, field.name, _check(field, hints[field.name], value))


@dataclasses.dataclass(frozen=True)
class PageSetting(Checked):
    """What a reader may change on every page. None in a notebook means the profile's value."""

    profile: str
    data_root: str | None = knob(None, rule=folder())  # default: $VQABOOK_DATA, else data/ of the project or the user
    runs: str | None = knob(None, rule=folder())  # folder of records; default: $VQABOOK_RUNS, else runs/ below that
    device: str = "auto"
    precision: str = knob("fp32", rule=one_of("fp32", "bf16"))  # of the networks' layers in training
    threads: int = knob(1, rule=within(1, MOST_THREADS))  # of a run: runs are small, cores are better used by processes
    seeds: tuple[int, ...] = knob((0, 1, 2), rule=within(0, 2**31))

    def __post_init__(self):
        super().__post_init__()
        if self.device not in ("auto", "cpu"):  # which are everywhere
            from vqabook.core import pick_device  # brings torch, which this room does not need

            pick_device(self.device)


def from_page(cls: type[T], profiles: Mapping[str, Mapping], namespace: Mapping[str, Any]) -> T:
    """The setting that a notebook's parameters ask for: call it with `globals()` right below the parameters cell.

    Parameters are the plain names defined so far; None means "as the profile says".
    """
    given = {
        k: v
        for k, v in namespace.items()
        if not (k.startswith("_") or k in _IPYTHON or isinstance(v, types.ModuleType) or callable(v))
    }
    return from_values(cls, profiles, given)


def read_meanings(namespace: Mapping[str, Any]) -> dict[str, str]:
    """What a notebook's parameters cell says of each of its names: the comment behind it. Empty outside a kernel."""
    line = re.compile(r"^(\w+): .*?  # (.+)$", re.MULTILINE)
    return next((dict(cell) for source in namespace.get("In", ()) if (cell := line.findall(source))), {})


def from_values(cls: type[T], profiles: Mapping[str, Mapping], values: Mapping[str, Any]) -> T:
    """A `cls` from the profile named in `values`, overridden by the values that are not None."""
    fields = {f.name: f for f in dataclasses.fields(cls)}
    unknown = [name for name in values if name not in fields]
    if unknown:
        raise ValueError(
            f"parameters of this page are {', '.join(fields)}; got {', '.join(unknown)}: check the spelling"
        )
    profile = values.get("profile")
    if not isinstance(profile, str) or profile not in profiles:
        raise ValueError(f"profile is one of {', '.join(profiles)}; got {_show(profile)}")
    given = {k: v for k, v in values.items() if v is not None and not (isinstance(v, str) and v == "None")}
    hints, merged = typing.get_type_hints(cls), {**profiles[profile], **given}
    return cls(**{name: _check(fields[name], hints[name], value) for name, value in merged.items()})


def _check(field: dataclasses.Field, hint: Any, value: Any) -> Any:
    """`value` as the type of the field, where it keeps to its rule; lists of choices name each once."""
    rule, listed = field.metadata.get("rule"), typing.get_origin(hint) is tuple
    value = _read_list(field.name, typing.get_args(hint), value) if listed else _read(field.name, hint, value)
    if listed and not value and not field.metadata.get("empty", True):
        raise ValueError(f"{field.name} lists one or more, got none; leave it out for its default, {field.default!r}")
    if listed and typing.get_args(hint)[-1] is ... and len(set(value)) < len(value):
        twice = next(item for i, item in enumerate(value) if item in value[:i])
        raise ValueError(f"{field.name} lists each value once, got {_show(twice)} twice: leave one out")
    for item in value if listed else (value,):
        if rule and not rule[1](item):
            raise ValueError(f"{field.name} {rule[0]}, got {_show(item)}; its default is {field.default!r}")
    return value


def _read_list(name: str, kinds: tuple, value: Any) -> tuple:
    """A list, or text that spells one, of the first of `kinds`; as many as `kinds` are unless these end in `...`."""
    value, n = _literal(value), None if kinds[-1] is ... else len(kinds)
    if not isinstance(value, list | tuple) or n not in (None, len(value)):
        what = f"a list of {kinds[0].__name__}" if n is None else f"a list of {n} {kinds[0].__name__}"
        raise ValueError(f"{name} must be {what}, got {_show(value)} ({type(value).__name__})")
    return tuple(_read(f"item {i} of {name}", kinds[0], item) for i, item in enumerate(value, 1))


def _read(name: str, hint: Any, value: Any) -> Any:
    """`value` as text, a number or a truth value; text as papermill hands it over is read as a Python literal."""
    if hint in (str, str | None):
        value = os.fspath(value) if isinstance(value, os.PathLike) else value
    else:
        value = _literal(value)
    try:
        read = msgspec.convert(value, hint)
    except msgspec.ValidationError:
        kind = hint.__name__ if isinstance(hint, type) else "str"
        raise ValueError(f"{name} must be {kind}, got {_show(value)} ({type(value).__name__})") from None
    if isinstance(read, str) and (not read.strip() or "\0" in read):
        raise ValueError(f"{name} is text, not empty and without NUL, got {_show(read)}; leave it out for its default")
    if isinstance(read, float) and not math.isfinite(read):
        raise ValueError(f"{name} must be a finite number, got {read}; give a large one if you want no limit")
    if isinstance(read, int) and abs(read) > LARGEST:
        raise ValueError(f"{name} must be at most {LARGEST}, got {_show(read)}; give a smaller one")
    return read


def _literal(value: Any) -> Any:
    """What text spells as a Python literal; other text and other values as they are."""
    if isinstance(value, str):
        with contextlib.suppress(SyntaxError, ValueError, MemoryError, RecursionError):
            return ast.literal_eval(value.strip())
    return value


def _show(value: Any) -> str:
    """A value in a sentence, in a line at most."""
    try:
        text = repr(value)
    except ValueError:  # Python spells no number of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 80 else f"{text[:77]}..."
