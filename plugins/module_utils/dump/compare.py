"""The rows that were written against the rows that the recovered server counts. Nobody writes there: recovery is over, the server listens for
us alone, and what would change rows by itself is off. So both are of one state, and a difference is a fault that is said by name."""
import re
from typing import Container, Dict, List, Mapping, NamedTuple, Optional, Tuple

from ..formats import wording

MAX_NAMED = 20                          # tables with trouble that are named
PLAIN = re.compile(r'[A-Za-z_\x80-\U0010ffff][A-Za-z_0-9$\x80-\U0010ffff-]*\Z')

Key = Tuple[str, ...]                   # (database, schema, table), or as many names as the kind of database has


class Compared(NamedTuple):
    """`counts`: {name: rows, None where the server could not count}. `marks`, `partial`: as target.Kind wants them."""
    counts: Dict[str, Optional[int]]
    marks: List[str]
    partial: List[str]


def label(key: Key) -> str:
    """The name of a table in a sentence, and in `counts`: no two tables have the same."""
    return '.'.join(part if PLAIN.match(part) else '"%s"' % part.replace('"', '""') for part in key)


def compare(counted: Mapping[Key, Optional[int]], written: Mapping[Key, Optional[int]], others: Container[Key] = ()) -> Compared:
    """COUNTED: what the server says of each table whose rows belong into the dump; WRITTEN: what was counted while the dump passed. None: it
    could not be counted. OTHERS: tables that may be in the dump in part."""
    uncounted, different = [], []
    for key in sorted(counted):
        rows = counted[key]
        if rows is None:
            uncounted.append('the rows of %s could not be counted; the dump has %s' % (label(key), written.get(key, 0)))
        elif key not in written:
            different.append('%s is not in the dump; the server counts %s' % (label(key), wording.number(rows, 'row')))
        elif written[key] is None:
            uncounted.append('the rows of %s in the dump could not be counted' % label(key))
        elif written[key] != rows:
            different.append('%s has %s rows in the dump, and the server counts %d' % (label(key), written[key], rows))
    different += ['%s is in the dump, and the server does not list it' % label(key) for key in sorted(written)
                  if key not in counted and key not in others]
    marks = ['%s=%d' % (name, len(found)) for name, found in (('count_differs', different), ('not_counted', uncounted)) if found]
    return Compared({label(key): rows for key, rows in counted.items()}, marks, few(different) + few(uncounted))


def few(sentences: List[str]) -> List[str]:
    """The first of them, and how many more there are."""
    return sentences[:MAX_NAMED] + (['%d more like these' % (len(sentences) - MAX_NAMED)] if len(sentences) > MAX_NAMED else [])
