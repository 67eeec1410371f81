"""Visits every crash point of one task. docs/explorer.md."""
