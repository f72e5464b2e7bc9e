"""Settings: the stores first, then who uses them, then what every Django project has."""

import json
import os
import tempfile
from pathlib import Path

BASE = Path(__file__).resolve().parent.parent

# --- the stores: from the environment, or a folder for a first try ---

FOLDER = f"disk://{tempfile.gettempdir()}/kvstack-examples"
KV_STORES = json.loads(os.environ.get("KV_STORES", "null")) or {
    "default": {"LOCATION": FOLDER, "COLLECTION": "app", "WRAPPERS": ["statistics"]},
    "sessions": {"LOCATION": FOLDER, "COLLECTION": "sessions", "WRAPPERS": ["statistics"]},
    "shared": {"LOCATION": FOLDER, "COLLECTION": "shared", "WRAPPERS": ["statistics"]},
}

# --- who uses them ---

CACHES = {"default": {"BACKEND": "kv_django.cache.KeyValueCache", "LOCATION": "kv:default", "KEY_PREFIX": "shop"}}
SESSION_ENGINE = "kv_django.sessions"
KV_SESSION_STORE = "sessions"

# --- what every Django project has ---

SECRET_KEY = os.environ.get("SHOP_SECRET_KEY", "only-for-a-first-try-give-SHOP_SECRET_KEY-in-earnest")
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "kv_django",
    "shop",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
ROOT_URLCONF = "shop.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
            ]
        },
    }
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("SHOP_DATABASE", BASE / "shop.sqlite3"),
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "account"
LOGOUT_REDIRECT_URL = "products"
USE_TZ = True
