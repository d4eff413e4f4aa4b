"""What the tests know of this project. Their fixtures are in migrations/guard/proof.

`session` is for most tests: what it writes is rolled back. `own_engine` has a database of its own,
and `config` is Alembic's configuration with an empty one.
"""

import pytest

from my_shop import models
from my_shop.database import make_engine
from my_shop.settings import ROOT, database_url

from migrations import guard

pytest_plugins = [
    "migrations.guard.proof.tests",
    "migrations.guard.proof.async_fixtures",
]


@pytest.fixture(scope="session")
def application() -> guard.Application:
    return guard.Application(
        ini=ROOT / "alembic.ini",
        models=models,
        database_url=database_url,
        make_engine=make_engine,
    )
