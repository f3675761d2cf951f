"""What real runtimes asked of the reference plugins, asked of ours."""
