"""A page on which a reader draws a digit and watches the nets of the reports."""
