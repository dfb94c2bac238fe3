"""README and docs/: the map is the tree, links lead somewhere, commands and parameters exist."""

import re
import shlex

import pytest

from mnistlib import files
from mnistlib.cli.main import commands
from mnistlib.notebook import params

ROOT = files.root()
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def listed() -> set[str]:
    """Return the paths in README's map of the repository."""
    block = README.split("\n## Repository layout\n")[1].split("```")[1]
    paths, folder = set(), ""
    for line in block.splitlines()[1:]:
        if not line.strip():
            continue
        name = line.split()[0]
        folder = folder if line.startswith(" ") else ""
        paths.add(folder + name.rstrip("/"))
        folder = name if not line.startswith(" ") and name.endswith("/") else folder
    return paths


def test_the_map_is_the_tree():
    paths = listed()
    assert all((ROOT / path).exists() for path in paths), [path for path in paths if not (ROOT / path).exists()]
    packages = {path.parent.name for path in (ROOT / "mnistlib").glob("*/__init__.py")}
    modules = {path.name for path in (ROOT / "mnistlib").glob("*.py") if not path.stem.startswith("__")}
    assert {f"mnistlib/{name}" for name in packages | modules} <= paths


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not target.startswith("http"):
            path, _, anchor = target.partition("#")
            there = page.parent / path if path else page
            assert there.exists(), target
            if anchor:
                headings = re.findall(r"^#+ (.+)$", there.read_text(), flags=re.MULTILINE)
                assert anchor in [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings], target


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_commands_and_targets_exist(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for block in re.findall(r"```sh\n(.*?)```", page.read_text(), flags=re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["make"] and len(words) > 1:
                assert words[1] in targets, line
            if words[:1] == ["mnistlib"] or words[:3] == ["python", "-m", "mnistlib"]:
                name, *rest = words[1:] if words[0] == "mnistlib" else words[3:]
                assert name in commands.commands, line
                options = {option for option in rest if option.startswith("-")}
                command = commands.commands[name]
                for word in rest:  # a group's own commands
                    command = getattr(command, "commands", {}).get(word, command)
                assert options <= {option for one in command.params for option in one.opts}, line


def test_the_table_of_parameters_is_complete():
    table = README.split("\n## Parameters\n")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)`", table, flags=re.MULTILINE)) == {*params.Params.__dataclass_fields__, "model"}


def test_the_table_of_results_stands_on_the_first_screen():
    assert README.index("| Step |") and README[: README.index("| Step |")].count("\n") < 30
