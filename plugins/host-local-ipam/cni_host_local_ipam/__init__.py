"""host-local: addresses for containers from ranges that this host alone allocates.

`config`, `plan` and `result` are pure; `leases` is what is stored, and how.
"""

NAME = "host-local"
