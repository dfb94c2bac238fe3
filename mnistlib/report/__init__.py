"""From runs to a page: results as JSON, tables, figures, the HTML page and the index."""
