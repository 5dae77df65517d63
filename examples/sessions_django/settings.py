"""Settings of the example: what a project with carmine's sessions says, and little else."""

from __future__ import annotations

import os
import secrets

SECRET_KEY = os.environ.get("SECRET_KEY") or secrets.token_urlsafe(32)  # yours stays the same: it signs the sessions
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "pages"
USE_TZ = True

INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes"]
MIDDLEWARE = [
    "carmine.ext.sessions.django.SessionMiddleware",  # in the place of Django's own
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
SESSION_ENGINE = "carmine.ext.sessions.django"
SESSION_COOKIE_AGE = 30 * 60
SESSION_SAVE_EVERY_REQUEST = True  # half an hour since the last request, not since the last change
SESSION_COOKIE_SECURE = False  # for development without TLS alone
CARMINE_SESSIONS = {
    "url": os.environ.get("CARMINE_URL", "redis://127.0.0.1:6379/0"),
    "absolute_ttl": 12 * 60 * 60,
    "timeout": 2,
}

DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ.get("DATABASE", "example.sqlite3")}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.ScryptPasswordHasher"]
