"""How a page is asked for: its setting, by a notebook's parameters or by name, and where its data sets lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from vqabook.data import root
from vqabook.knobs import from_page, from_values

S = TypeVar("S")


def asking(cls: type[S], profiles: Mapping[str, Mapping]) -> tuple[Callable[[Mapping], S], Callable[..., S]]:
    """A paper's `page(globals())`, called in its notebook, and `setting(profile="small", seeds=(0,))`."""

    def page(namespace: Mapping[str, Any]) -> S:
        return from_page(cls, profiles, namespace)

    def setting(**values: Any) -> S:
        return from_values(cls, profiles, values)

    return page, setting


def root_of(setting: Any) -> Path:
    """Where the data sets lie; the embedded world, the digits and made tails need none."""
    return root.data_root(setting.data_root)
