"""The resident: processes that have imported everything and wait for executables to hand them calls.

A master greets executables and keeps workers alive; each worker carries out one call at a time. Executables
start it with a new process and never import it.
"""
