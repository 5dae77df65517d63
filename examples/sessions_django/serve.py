"""A Django site with login and logout, its sessions on a server.

python examples/sessions_django/serve.py                           # starts a server of its own
python examples/sessions_django/serve.py redis://127.0.0.1:6379/0

curl -c jar -b jar -d 'name=ada&password=lovelace' http://127.0.0.1:8000/login
curl -c jar -b jar http://127.0.0.1:8000/
curl -c jar -b jar -X POST http://127.0.0.1:8000/logout
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from wsgiref.simple_server import make_server

import django
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application

from carmine.embedded import EmbeddedRedis

USERS = {"ada": "lovelace", "grace": "hopper"}


def serve(url: str, port: int = 8000) -> None:
    """Serve the site with a database that is forgotten at the end."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(CARMINE_URL=url, DATABASE=str(Path(folder, "users.sqlite3")))
        os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
        django.setup()
        call_command("migrate", verbosity=0)
        from django.contrib.auth.models import User  # noqa: PLC0415 - models exist once Django is set up

        for name, password in USERS.items():
            User.objects.create_user(name, password=password)
        with make_server("127.0.0.1", port, get_wsgi_application()) as server:
            print(f"http://127.0.0.1:{server.server_port} (Ctrl-C ends)", flush=True)
            server.serve_forever()


def main() -> None:
    if len(sys.argv) > 1:
        serve(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 8000)
    else:
        with EmbeddedRedis() as redis:
            serve(redis.url)


if __name__ == "__main__":
    main()
