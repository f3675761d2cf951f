"""The firewall plugin: what may be forwarded to and from a container."""

NAME = "firewall"
