"""Arrival processes: when the calls of a scenario are due."""
