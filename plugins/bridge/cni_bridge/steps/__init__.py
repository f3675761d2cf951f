"""What bridge changes of the host, one module for each object. Steps only: nothing here decides."""
