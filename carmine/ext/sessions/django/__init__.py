"""Sessions of Django on the store of carmine: `SESSION_ENGINE = "carmine.ext.sessions.django"`.

    MIDDLEWARE = ["carmine.ext.sessions.django.SessionMiddleware", ...]  # in the place of Django's own
    CARMINE_SESSIONS = {"url": "redis://127.0.0.1:6379/0"}

`SessionStore` is the name under which Django looks for an engine's class. Django's own middleware works with it too;
ours answers 503 while the server cannot be asked, and waits for nothing in a thread where Django runs asynchronously.
See config.py for what `CARMINE_SESSIONS` may hold, docs/sessions_frameworks.md for how it behaves.
"""

from __future__ import annotations

from carmine.errors import MissingExtra

try:
    import django  # noqa: F401 - asked for here, so that who lacks it is told what to install
except ImportError as _problem:
    raise MissingExtra("sessions of Django need Django: pip install 'django>=5.2'") from _problem

from carmine.ext.sessions.django.engine import SessionStore
from carmine.ext.sessions.django.middleware import SessionMiddleware

__all__ = ["SessionMiddleware", "SessionStore"]
