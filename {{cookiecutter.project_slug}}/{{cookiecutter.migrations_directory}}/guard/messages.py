"""Words that several rooms use in their messages."""

from alembic.config import Config


def command_line(config: Config) -> str:
    """Return how a person calls Alembic here: ``alembic``, or ``alembic --name main``."""
    section = config.config_ini_section
    return "alembic" if section == "alembic" else f"alembic --name {section}"
