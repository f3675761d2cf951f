"""A conformance suite for CNI plugins that sees them as a container runtime does: from outside. See README.md."""
