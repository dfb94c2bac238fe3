"""Many seeds of a recipe: trained side by side or stacked, cached under a key, resumed, with provenance."""
