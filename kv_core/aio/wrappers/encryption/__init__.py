"""Encrypt values."""

from kv_core.aio.wrappers.encryption.fernet import FernetEncryptionWrapper

__all__ = ["FernetEncryptionWrapper"]
