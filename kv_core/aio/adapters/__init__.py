"""Stores under another interface."""
