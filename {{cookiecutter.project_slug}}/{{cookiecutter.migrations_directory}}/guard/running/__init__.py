"""A revision is applied: the connection, one migration at a time, and what errors mean.

``environment.py`` enters it for each command that runs env.py.
"""
