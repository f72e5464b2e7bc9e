# Written by tools/mirror.py from kv_core/aio/recipes/__init__.py: change that file instead.
"""What several frameworks need, once."""
