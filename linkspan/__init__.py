"""linkspan: container networking for one Linux host, as standalone CNI plugins.

Every executable imports this package at every call, so it imports nothing.
"""

__version__ = "0.1.0"

#: The environment variable that keeps an executable, and every executable below it, from asking the resident.
STANDALONE = "LINKSPAN_STANDALONE"
#: Its value if no supervisor is to be started either.
ALONE = "alone"
