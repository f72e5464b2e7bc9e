"""The shop with everything in memory, empty at the start of each test."""

import pytest
from django.core.management import call_command
from django.test import override_settings

STORES = {
    alias: {"LOCATION": "memory://", "COLLECTION": alias, "WRAPPERS": ["statistics"]}
    for alias in ("default", "sessions", "shared")
}


@pytest.fixture(autouse=True)
def shop(db):
    hashers = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # the real one takes its time, on purpose
    with override_settings(KV_STORES=STORES, PASSWORD_HASHERS=hashers):
        call_command("prepare", password="secret", verbosity=0)
        yield
