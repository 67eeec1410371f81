"""The lifecycle of a run: passes, timeline, history, result."""
