"""host-local: addresses for containers from ranges that this host alone hands out (CNI type `host-local`)."""
