{% set facts = cookiecutter._database_facts[cookiecutter.database] %}
{% set layout = cookiecutter._layout_facts[cookiecutter.databases] %}
{% set driver = facts[cookiecutter.driver].driver %}
"""Where the {{ "databases are" if layout.many else "database is" }}."""

import os
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

ROOT = Path(__file__).resolve().parents[2]

# The driver for URLs that name none, as hosting services hand them out.
DRIVERS = dict.fromkeys({{ facts.drivers | tojson }}, "{{ driver }}")

{% if layout.many %}
DEVELOPMENT_URLS = {
    name: URL.create(
        "{{ driver }}",
{% for part in facts.server %}
        {{ part }},
{% endfor %}
        database={{ "str(ROOT / " if facts.embedded }}f"{{ cookiecutter.package_name }}_{name}{{ ".db" if facts.embedded }}"{{ ")" if facts.embedded }},
    )
    for name in ("main", "analytics")
}


def variable(name: str) -> str:
    """Return which variable says where a database is: ``MAIN_DATABASE_URL`` for main."""
    return f"{name.upper()}_DATABASE_URL"
{% else %}
DEVELOPMENT_URL = URL.create(
    "{{ driver }}",
{% for part in facts.server %}
    {{ part }},
{% endfor %}
    database={{ "str(ROOT / " if facts.embedded }}"{{ cookiecutter.package_name }}{{ ".db" if facts.embedded }}"{{ ")" if facts.embedded }},
)
{% endif %}


def environment_url({{ layout.parameter }}) -> str | None:
    """Return {{ "the variable of a database, from" if layout.many else "``DATABASE_URL`` of" }} the environment, or else of the file ``.env``, if it is set."""
    if {{ layout.variable }} in os.environ:
        return os.environ[{{ layout.variable }}]
    if not (ROOT / ".env").exists():
        return None
    from dotenv import dotenv_values  # Only where there is a file, as it takes its time.

    return dotenv_values(ROOT / ".env", interpolate=False).get({{ layout.variable }})


def database_url({{ layout.parameter }}) -> URL:
    """Return the URL of {{ "a" if layout.many else "the application's" }} database: the one that is set, or the development one.

    :raises ValueError: when {{ "its variable" if layout.many else "``DATABASE_URL``" }} is set and is not a URL.
    """
    text = environment_url({{ layout.argument }})
    return {{ layout.development_url }} if text is None else parse_url(text, source={{ layout.variable }})


def parse_url(text: str, source: str) -> URL:
    """Return a database URL with the project's driver and an absolute SQLite file.

    https://docs.sqlalchemy.org/en/21/core/engines.html#database-urls

    :param text: the URL; in a password, ``%``, ``@``, ``:`` and ``/`` are written ``%25``,
        ``%40``, ``%3A`` and ``%2F``.
    :param source: where it comes from, for the message.
    :raises ValueError: when it is not a URL; the message does not repeat it.
    """
    try:
        url = make_url(text)
        # An @ that is left over is one of the password, which would be shown in messages.
        left_over = (url.host or "") + (url.database or "" if url.host else "")
        well_formed = "@" not in left_over
    except (ArgumentError, ValueError):
        well_formed = False
    if not well_formed:
        problem = "is not a URL" if text else "is empty"
        example = {{ layout.any_development_url }}
        raise ValueError(f"{source} {problem}: it should look like {example}")
    url = url.set(drivername=DRIVERS.get(url.drivername, url.drivername))
    file = url.database if url.get_backend_name() == "sqlite" else None
    if file and file != ":memory:" and not file.startswith("file:"):
        url = url.set(database=str(ROOT / file))
    return url
