"""What tests, benchmarks and the demo stand on: a private host, real runtimes and the tools to drive them."""
