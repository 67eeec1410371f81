"""Frozen values: scenario, history, world, finding, verdict, result."""
