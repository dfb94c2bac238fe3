"""What commands share: the parameters of a notebook, folders, and printing."""

import ast
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mnistlib.errors import SettingError


def parameterised(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that set a notebook's parameters; it takes them as `given`."""

    @click.option("-p", "pairs", nargs=2, multiple=True, metavar="NAME VALUE", help="Set a parameter: -p epochs 2.")
    @click.option("-y", "yamls", multiple=True, metavar="YAML", help="Set parameters: -y 'seeds: [0, 1]'.")
    @click.option("-f", "yaml_files", multiple=True, type=click.Path(exists=True, dir_okay=False), help="Set parameters from a YAML file.")
    @functools.wraps(command)
    def reading(pairs: tuple[tuple[str, str], ...], yamls: tuple[str, ...], yaml_files: tuple[str, ...], **others: Any) -> Any:
        return command(given=parameters(pairs, yamls, yaml_files), **others)

    return reading


def parameters(pairs: tuple[tuple[str, str], ...], yamls: tuple[str, ...], yaml_files: tuple[str, ...]) -> dict[str, Any]:
    """Return the parameters given on the command line; -p goes before -y, and -y before -f.

    A relative `results_dir` counts from the working directory, as every path on a command line does.
    """
    import yaml

    given: dict[str, Any] = {}
    for text in (*(Path(path).read_text(encoding="utf-8") for path in yaml_files), *yamls):
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            value = text
        if not isinstance(value, dict):
            raise SettingError(f"{text.strip()!r} does not set parameters; write NAME: VALUE, such as 'seeds: [0, 1]'.")
        given |= value
    given |= {name: literal(text) for name, text in pairs}
    if isinstance(place := given.get("results_dir"), str) and place.strip():
        given["results_dir"] = str(folder(place))
    return given


def folder(text: str | None) -> Path | None:
    """Return the absolute path of a folder named on the command line, None where none is."""
    return Path(text).expanduser().resolve() if text else None


def literal(text: str) -> Any:
    """Return the Python value that a text spells, or the text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def tell(*lines: str) -> None:
    """Print lines, each flushed."""
    for line in lines:
        click.echo(line)
