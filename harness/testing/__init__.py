"""Checks where people work: a system of brokers and workers steered from a test, and property-based tests on it."""
