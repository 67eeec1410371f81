"""Pairs of tasks: one survives a crash at any moment, its twin does not. `celery-harness explore` tells them apart."""
