"""Who takes part, in which environments, and what is measured. Data only."""

from __future__ import annotations

from bench.contestant import Kind
from bench.rows import Place, Row, Target
from bench.stats import at_least

#: What these rivals need beside the environments that there are; Flask and Django as in carmine's own environment.
PACKAGES: dict[str, tuple[str, ...]] = {
    "flask-session": ("flask==3.1.*", "flask-session[redis]==0.8.*", "hiredis==3.5.*"),
    "django-redis": ("django==5.2.*", "django-redis==7.0.*", "hiredis==3.5.*"),
}

KINDS: dict[str, Kind] = {
    "wsgi-carmine": Kind("sessions.wsgi_carmine"),
    "flask-carmine": Kind("sessions.flask_carmine"),
    "flask-session": Kind("sessions.flask_session_redis", "flask-session"),
    "django-carmine": Kind("sessions.django_carmine"),
    "django-redis": Kind("sessions.django_redis_cache", "django-redis"),
}

#: Times that the peer may not be faster than.
_NOT_SLOWER = at_least(1.0)


def _row(work: str, title: str, framework: str, peer: str) -> Row:
    kinds = {"carmine": f"{framework}-carmine", peer: peer, "carmine, plain WSGI": "wsgi-carmine"}
    return Row(
        f"sessions/{framework}-{work}",
        f"{framework.capitalize()}, a page that {title} its session",
        "carmine",
        tuple(Place(label, kind, work) for label, kind in kinds.items()),
        (Target(peer, "carmine", _NOT_SLOWER),),
    )


ROWS: tuple[Row, ...] = tuple(
    _row(work, title, framework, peer)
    for framework, peer in (("flask", "flask-session"), ("django", "django-redis"))
    for work, title in (("read", "reads"), ("change", "changes"))
)
