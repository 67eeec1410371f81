"""Brokers, services and workers in containers, on a private network of the run's own."""
