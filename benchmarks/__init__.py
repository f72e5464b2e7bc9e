"""What kvstack costs, beside the clients it stands on and the library it replaces: `python -m benchmarks --help`."""
