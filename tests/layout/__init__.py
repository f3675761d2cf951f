"""The architecture as rules: each is a function from a tree of sources to its violations, proved able to find one."""
