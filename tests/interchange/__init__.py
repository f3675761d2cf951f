"""Ours and the reference plugins on one host: mixed in one chain, one after the other, and at once."""
