"""Django's own tests of sessions, over our engine: `python -m tests.ext.sessions.django_kit.suite URL FOLDER`.

FOLDER holds `sessions_tests` of Django's source distribution (source.py). Its SessionTestsMixin runs over our engine,
and its tests of the middleware over ours, in each case with the settings that Django's own suite has. Prints one line
of JSON: the version, and how many tests ran, failed and were skipped.
"""

from __future__ import annotations

import importlib
import io
import json
import sys
import unittest
from typing import Any

import django
from django.conf import settings


def configure(url: str) -> None:
    """Set Django up as its own suite does, but for the engine's server."""
    settings.configure(
        SECRET_KEY="of this suite alone",
        USE_TZ=True,
        INSTALLED_APPS=["django.contrib.sessions", "sessions_tests"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        CARMINE_SESSIONS={"url": url},
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    )
    django.setup()


def cases() -> list[type[unittest.TestCase]]:
    """Return the classes of tests, theirs over ours."""
    # these need Django set up, so they are imported when it is
    theirs: Any = importlib.import_module("sessions_tests.tests")
    ours: Any = importlib.import_module("carmine.ext.sessions.django")
    testing: Any = importlib.import_module("django.test")
    theirs.SessionMiddleware = ours.SessionMiddleware
    engine = {"backend": ours.SessionStore}
    # it holds the words of Django's message, and ours are others; the status is in test_django_middleware.py
    middleware = {"test_session_update_error_redirect": None}
    return [
        type("EngineTests", (theirs.SessionTestsMixin, testing.SimpleTestCase), engine),
        type("MiddlewareTests", (theirs.SessionMiddlewareTests,), middleware),
    ]


def main() -> int:
    """Run the tests."""
    url, folder = sys.argv[1:]
    sys.path.insert(0, folder)
    configure(url)
    loaded = [unittest.defaultTestLoader.loadTestsFromTestCase(case) for case in cases()]
    names = [str(test).partition(" ")[0] for tests in loaded for test in tests]
    runner_of: Any = importlib.import_module("django.test.runner")
    runner = runner_of.DiscoverRunner(verbosity=0, interactive=False)
    databases = runner.setup_databases()
    told = io.StringIO()
    try:
        result = unittest.TextTestRunner(stream=told).run(unittest.TestSuite(loaded))
    finally:
        runner.teardown_databases(databases)
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    if failed:
        sys.stderr.write(told.getvalue())
    counts = {
        "django": django.__version__,
        "ran": result.testsRun,
        "asynchronous": sum(name.endswith("_async") or "_asave_" in name for name in names),
        "failed": failed,
        "skipped": len(result.skipped),
    }
    sys.stdout.write(json.dumps(counts) + "\n")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
