"""Protocols and no-ops: what plugs into what."""
