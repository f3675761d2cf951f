"""The CNI contract as values: requests, results, errors, versions and schemas. No I/O; imports nothing else
of ours.
"""
