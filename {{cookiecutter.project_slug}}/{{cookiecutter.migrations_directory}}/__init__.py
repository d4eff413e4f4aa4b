"""The migrations of the database; see README.md."""
