"""Regular expressions that are compiled when they are first used: most runs need few of them, and compiling takes longer than loading."""
import re
from typing import Any


class Lazy(object):
    """As what re.compile(PATTERN, FLAGS) returns. A wrong pattern raises re.error on its first use; see tests/unit/formats/test_patterns.py."""

    def __init__(self, pattern: Any, flags: int = 0) -> None:
        self._pattern = pattern
        self._flags = flags

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__'):
            raise AttributeError(name)  # what copy and pickle ask for
        value = getattr(re.compile(self._pattern, self._flags), name)   # re keeps what it compiled
        setattr(self, name, value)      # the next use costs no call
        return value
