"""Celery applications that the scenarios run: each the right way, and its broken twin.

A pair differs in a few lines only (compare them with ``diff``). The apps know nothing of the harness: they read their
environment like any other application, and need nothing but Celery and the standard library.
"""
