"""What the tests know of this project. Their fixtures are in {{ cookiecutter.migrations_directory }}/guard/proof.

{% if cookiecutter.databases == "one" %}
`session` is for most tests: what it writes is rolled back. `own_engine` has a database of its own,
and `config` is Alembic's configuration with an empty one.
{% elif cookiecutter.databases == "several" %}
`session` is for most tests: what it writes is rolled back. `own_engines` has databases of its own,
and `configs` Alembic's configuration for each one, which is empty.
{% else %}
`session` is for most tests: what it writes is rolled back. `own_engines` has databases of its own,
and `config` is Alembic's configuration with empty ones.
{% endif %}
"""

import pytest

from {{ cookiecutter.package_name }} import models
from {{ cookiecutter.package_name }}.database import make_engine
from {{ cookiecutter.package_name }}.settings import ROOT, database_url

from {{ cookiecutter.__migrations_package }} import guard

pytest_plugins = [
    "{{ cookiecutter.__migrations_package }}.guard.proof.tests",
    "{{ cookiecutter.__migrations_package }}.guard.proof.{{ cookiecutter.driver }}_fixtures",
]


@pytest.fixture(scope="session")
def application() -> guard.Application:
    return guard.Application(
        ini=ROOT / "alembic.ini",
        models=models,
        database_url=database_url,
        make_engine=make_engine,
{% if cookiecutter.databases != "one" %}
        bases=models.BASES,
{% endif %}
    )
{% if cookiecutter.databases == "several" %}


@pytest.fixture(scope="module", params=models.BASES)
def database_name(request: pytest.FixtureRequest) -> str:
    """The name of each database in turn, for the tests of its history."""
    return str(request.param)
{% endif %}
