"""Where entries live: one file for each backend."""
