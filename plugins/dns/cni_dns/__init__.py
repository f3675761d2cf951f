"""The dns plugin: names for containers, and the server that answers for them."""
