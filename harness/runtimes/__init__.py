"""Runtimes: where brokers and workers run."""
