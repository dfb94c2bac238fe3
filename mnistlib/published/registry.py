"""Published rows and the arms of their studies by name: the one place to ask for them."""

from __future__ import annotations

from mnistlib.errors import AmbiguityError, SettingError, nearest
from mnistlib.published import ablations, originals, repository

Row, Claim = repository.Row, repository.Claim
ROWS, ARMS = originals.ROWS, ablations.ARMS
FOLDED, FOLDS, README_FIGURES = ablations.FOLDED, ablations.FOLDS, originals.README_FIGURES
SEEDS, HEADLINE_SEEDS, N_TEST, SILENT = repository.SEEDS, repository.HEADLINE_SEEDS, repository.N_TEST, repository.SILENT


def get(name: str) -> Row:
    """Return a row or an arm by its name, or by the name that its author's code gives it; any other name raises SettingError."""
    if not isinstance(name, str):
        raise SettingError(f"row is {name!r}; it must be a row's name, such as {next(iter(ROWS))!r}.")
    rows = ROWS | ARMS
    wanted = _spelt(name)
    for row in rows.values():
        if wanted in (row.name, f"{row.name[:3]}-{_spelt(row.title)}") or name in row.originals:
            return row
    same = [row.name for row in ROWS.values() if wanted in (_spelt(row.title), *map(_spelt, row.originals))]
    if len(same) == 1:
        return rows[same[0]]
    if same:
        raise AmbiguityError(f"There are several rows {name!r}: {', '.join(same)}. Name one of them.")
    raise SettingError(
        f"There is no row {name!r}.{nearest(wanted, rows)} The rows are {', '.join(ROWS)}; for the studies, {', '.join(ARMS)}."
    )


def _spelt(name: str) -> str:
    """Return a name as rows are spelt: lower case, with dashes for blanks, bars and slashes."""
    return name.strip().lower().replace("_", "-").replace(" ", "-").replace("/", "-")
