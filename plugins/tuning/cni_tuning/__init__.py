"""tuning: sysctls of a container's network namespace, and properties of its interface."""

NAME = "tuning"
