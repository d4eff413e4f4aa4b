"""A revision is written: what is compared, in which order it changes, what a person should know.

Alembic calls it for ``alembic revision --autogenerate`` and ``alembic check``.
"""
