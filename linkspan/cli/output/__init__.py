"""How the command prints: tables, JSON, YAML, and Go templates as Docker's `--format` takes them. Pure."""
