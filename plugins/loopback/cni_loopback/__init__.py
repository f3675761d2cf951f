"""loopback: the container's lo."""

NAME = "loopback"
