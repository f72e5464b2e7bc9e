"""Stores, wrappers, adapters and recipes."""
