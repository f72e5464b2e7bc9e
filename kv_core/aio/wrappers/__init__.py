"""Behaviours that stack: one file for each wrapper."""
