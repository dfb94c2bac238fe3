"""Nets that somebody else wrote: found in their files, checked, and trained in a sandbox."""
