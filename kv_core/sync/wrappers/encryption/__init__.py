# Written by tools/mirror.py from kv_core/aio/wrappers/encryption/__init__.py: change that file instead.
"""Encrypt values."""

from kv_core.sync.wrappers.encryption.fernet import FernetEncryptionWrapper

__all__ = ["FernetEncryptionWrapper"]
