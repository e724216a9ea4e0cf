"""Servers side by side: see ../README.md.  Each module is named by what it knows about."""
