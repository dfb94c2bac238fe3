"""The site in reports/: the series, its index, and the pages that explain it."""
