"""loopback: the container's lo."""
