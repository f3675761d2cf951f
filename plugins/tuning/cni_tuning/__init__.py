"""The tuning plugin: sysctls and properties of a container's interface."""
