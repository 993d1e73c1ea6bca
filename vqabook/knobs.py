"""A page's parameters: typed, checked, and refused in one sentence before anything runs.

papermill only warns about a parameter that the notebook lacks and hands every `-p` list over as text; both end here.
"""

import ast
import contextlib
import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")
_IPYTHON = {"In", "Out", "exit", "quit", "get_ipython", "open"}


def knob(default: Any, *, rule: tuple[str, Callable[[Any], bool]] | None = None) -> Any:
    """A dataclass field with an optional (text, test) rule for its value."""
    return dataclasses.field(default=default, metadata={"rule": rule})


def positive() -> tuple[str, Callable]:
    """Rule: greater than zero."""
    return "must be positive", lambda x: x > 0


def within(low: float, high: float) -> tuple[str, Callable]:
    """Rule: from `low` to `high`, both included."""
    return f"must be in [{low}, {high}]", lambda x: low <= x <= high


def one_of(*choices: Any) -> tuple[str, Callable]:
    """Rule: one of `choices`."""
    return f"is one of {', '.join(map(str, choices))}", lambda x: x in choices


@dataclasses.dataclass(frozen=True)
class PageSetting:
    """What a reader may change on every page. None in a notebook means the profile's value."""

    profile: str
    data_root: str | None = None  # default: $VQABOOK_DATA, else data/ of the project, else the user's
    runs: str | None = None  # folder of records; default: $VQABOOK_RUNS, else runs/ below that
    device: str = "auto"
    seeds: tuple[int, ...] = knob((0, 1, 2), rule=within(0, 2**31))


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


def from_values(cls: type[T], profiles: Mapping[str, Mapping], values: Mapping[str, Any]) -> T:
    """A `cls` from the profile named in `values`, overridden by the values that are not None."""
    fields = {f.name: f for f in dataclasses.fields(cls)}
    unknown = [name for name in values if name not in fields]
    if unknown:
        raise ValueError(
            f"parameters of this page are {', '.join(fields)}; got {', '.join(unknown)}: check the spelling"
        )
    profile = values.get("profile")
    if profile not in profiles:
        raise ValueError(f"profile is one of {', '.join(profiles)}; got {profile!r}")
    hints = typing.get_type_hints(cls)
    merged = {**profiles[profile], **{k: v for k, v in values.items() if v not in (None, "None")}}
    return cls(**{name: _check(fields[name], hints[name], value) for name, value in merged.items()})


def _check(field: dataclasses.Field, hint: Any, value: Any) -> Any:
    """`value` as the type of the field; text as papermill hands it over is read as a Python literal."""
    if isinstance(value, str) and hint not in (str, str | None):
        with contextlib.suppress(SyntaxError, ValueError):
            value = ast.literal_eval(value)
    try:
        value = msgspec.convert(value, hint)
    except msgspec.ValidationError:
        kind = hint.__name__ if isinstance(hint, type) else hint
        raise ValueError(f"{field.name} must be {kind}, got {value!r} ({type(value).__name__})") from None
    rule = field.metadata.get("rule")
    for item in value if isinstance(value, tuple) else (value,):
        if rule and item is not None and not rule[1](item):
            raise ValueError(f"{field.name} {rule[0]}, got {item!r}; its default is {field.default!r}")
    return value
