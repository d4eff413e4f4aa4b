"""What an operation does to rows and to other sessions, for who writes or checks a revision.

A rule is a function in ``checks.py``; its name switches it off in ``[guard]`` of alembic.ini.
"""

from .checks import RULES as RULES
from .checks import Remark as Remark
from .checks import remarks_on as remarks_on
from .checks import rules_without as rules_without
