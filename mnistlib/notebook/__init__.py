"""Notebooks run without a browser."""

import sys

# nbformat checks notebooks with jsonschema, which builds a grammar of internationalised addresses as it is imported. No notebook's
# format asks for one, and it would be a second of every run; jsonschema does without where the module is not there.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
