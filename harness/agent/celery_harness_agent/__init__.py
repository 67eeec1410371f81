"""What runs inside workers, their pool children and the producer: journal, hooks, triggers, guard.

Standard library and celery only, Python 3.8 or later, Celery 5.3 or later; never imports `harness`. The protocol
(programs, settings, records) is docs/journal.md.
"""
