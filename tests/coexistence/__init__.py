"""Ours on one host with other programs that make packet rules."""
