"""The clients of the backends, each with the same few methods on both sides."""
