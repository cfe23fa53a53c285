"""Which paths this process may open: all, until a rule is set, as the dashboard does."""

from collections.abc import Callable

# Raises ValueError for a path that may not be opened: a data set's own, or one to which a link within it leads.
check_path: Callable[[str], None] | None = None
