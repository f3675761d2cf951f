"""bridge: a veth pair on a Linux bridge for each attachment."""

NAME = "bridge"
