"""The portmap plugin: host ports that lead to a container."""

NAME = "portmap"
