"""The published models beside their claims: what `make published` builds from the results in reports/published/."""
