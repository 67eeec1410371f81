"""The processes runtime: nothing to install but Python and a Redis."""
