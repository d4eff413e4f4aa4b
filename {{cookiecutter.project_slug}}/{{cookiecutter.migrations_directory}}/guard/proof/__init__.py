"""The tests of migrations: what they check, scratch databases, and what is in a database as text.

Entered by pytest only, through the names in ``tests/conftest.py`` and ``tests/test_migrations.py``.
"""
