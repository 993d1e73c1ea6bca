"""Packages that only parts of the book need: where one is missing, one sentence says what to install."""

import contextlib
import importlib
import re
from collections.abc import Iterator
from importlib import metadata
from types import ModuleType

# a module whose package has another name
PACKAGES = {"ot": "pot", "PIL": "pillow", "sklearn": "scikit-learn", "yaml": "pyyaml"}


@contextlib.contextmanager
def told_if_missing() -> Iterator[None]:
    """A module of others that is not installed, or does not load, is a RuntimeError that names the extra with it."""
    try:
        yield
    except ImportError as error:
        module = (error.name or "").partition(".")[0]
        if module in ("", "vqabook"):
            raise
        package = PACKAGES.get(module, module)
        asked = [f"vqabook[{extra}]" for extra in find_extras(package)] or [package]
        ways = " or ".join(f"pip install '{name}'" for name in asked)
        why = "is not installed" if isinstance(error, ModuleNotFoundError) else f"does not load ({error})"
        raise RuntimeError(f"this needs the package {package}, which {why}: {ways}") from error


@told_if_missing()
def import_extra(module: str) -> ModuleType:
    """The module, or one sentence that says what to install."""
    return importlib.import_module(module)


def find_extras(package: str) -> list[str]:
    """The extras of the installed `vqabook` that bring a package."""
    try:
        lines = metadata.requires("vqabook") or []
    except metadata.PackageNotFoundError:
        return []
    asked = re.compile(rf"{package.replace('_', '-')}\b(?!-).*\bextra == [\"']([\w-]+)[\"']", re.IGNORECASE)
    return [found[1] for line in lines if (found := asked.match(line))]
