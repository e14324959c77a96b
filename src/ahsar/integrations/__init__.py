"""Bridges to tools that users train with: one file each, over the public API alone."""
