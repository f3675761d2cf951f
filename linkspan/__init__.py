"""linkspan: container networking for one Linux host, as standalone CNI plugins.

This package imports nothing: the launcher passes through it, and a plugin's start-up is its cost.
"""

__version__ = "0.1.0"
