"""dns: names for containers, and the name server that answers for them.

The plugin is at the top; `server` is the long-lived process, and all that only it needs.
"""

NAME = "dns"
