"""Insert notebook_start.sh, and the two programs that it starts, into the template notebook.yaml: python tests/notebook_template.py."""

from __future__ import annotations

import re

from cloud.aws.stack import SCRIPTS

TEMPLATE = SCRIPTS / "notebook.yaml"
PROGRAMS = ("notebook_idle.py", "notebook_setup.sh")


def start_script() -> str:
    """Return notebook_start.sh without its first line, with both programs as here-documents."""
    script = (SCRIPTS / "notebook_start.sh").read_text(encoding="utf-8").partition("\n")[2]
    for name in PROGRAMS:
        program = (SCRIPTS / name).read_text(encoding="utf-8")
        script = script.replace(f"# Insert {name}\n", f"cat >\"$folder/{name}\" <<'END_OF_PROGRAM'\n{program}END_OF_PROGRAM\n")
    return script


def with_script(template: str) -> str:
    """Return the template's text with the script as it is now."""
    head, rest = re.split(r"(?<=\n                  - \|\n)", template)
    tail = rest[rest.index("\n  Instance:\n") :]
    return head + re.sub(r"(?m)^(?=.)", " " * 20, start_script()) + tail


if __name__ == "__main__":
    TEMPLATE.write_text(with_script(TEMPLATE.read_text(encoding="utf-8")), encoding="utf-8")
