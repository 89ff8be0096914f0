"""Environment variables in files of their own (they are where secrets are kept; labels and commands may hold some too).

Two programs read env files, and not in the same way: `docker run --env-file` takes a line as it is, Compose parses
quotes, escapes, comments and `$`. So there are two files:

    env          for docker run; a value with a newline does not fit, one with control characters is better escaped: it goes into
    env.sh       shell assignments that run.sh reads, and hands on with -e NAME
    compose.env  for Compose
"""
import re
from typing import TYPE_CHECKING, Dict, List, Optional, Tuple

from ..formats.wording import show
from .body import create_body
from .shell import quote

if TYPE_CHECKING:
    from ..records.definition import Definition

LINE_LIMIT = 60000                      # docker's reader gives up on lines of 64 KiB
IDENTIFIER = re.compile(r'[A-Za-z_][A-Za-z0-9_]*\Z')
DOTENV_KEY = re.compile(r'[A-Za-z_][A-Za-z0-9_.-]*\Z')
BARE_VALUE = re.compile(r'[A-Za-z0-9_./:@%+,=~-]*\Z')


def pairs(definition: 'Definition') -> List[Tuple[str, Optional[str]]]:
    """[(name, value)] of what differs from the image; value None for a variable that was taken away (-e NAME)."""
    found = []
    for item in create_body(definition).get('Env', []):
        name, sign, value = item.partition('=')
        found.append((name, value if sign else None))
    return found


def fits_line(name: str, value: str) -> bool:
    """Can `docker run --env-file` give exactly this?"""
    return (not re.search(r'\s', name) and not name.startswith('#') and name != '' and name.isprintable()
            and '\n' not in value and not value.endswith('\r') and len(value.encode('utf-8')) < LINE_LIMIT)


def takes_line(name: str, value: str) -> bool:
    """Is it written into `env`? Not what fits but would reach the terminal of who looks at it, if env.sh can have it."""
    return fits_line(name, value) and (value.replace('\t', '').isprintable() or not IDENTIFIER.match(name))


def by_shell(definition: 'Definition') -> List[Tuple[str, str]]:
    """Variables that run.sh has to hand over by -e NAME: [(name, value)]."""
    return [(name, value) for name, value in pairs(definition)
            if value is not None and not takes_line(name, value) and IDENTIFIER.match(name)]


def unset(definition: 'Definition') -> List[str]:
    """Names that the container did not have although the image has them."""
    return [name for name, value in pairs(definition) if value is None and name]


def files(definition: 'Definition') -> Dict[str, str]:
    """{file name: text}; a file without content is left out."""
    plain, compose = [], []
    for name, value in pairs(definition):
        if value is None:
            continue
        if takes_line(name, value):
            plain.append('%s=%s' % (name, value))
        line = dotenv(name, value)
        if line is not None:
            compose.append(line)
    made = {}
    if plain:
        made['env'] = '\n'.join(plain) + '\n'
    if compose:
        made['compose.env'] = '\n'.join(compose) + '\n'
    shell = by_shell(definition)
    if shell:
        made['env.sh'] = ''.join('%s=%s\nexport %s\n' % (name, quote(value), name) for name, value in shell)
    return made


def dotenv(name: str, value: str) -> Optional[str]:
    """One assignment for Compose; None where no form gives exactly this value.

    Single quotes take everything literally but a backslash before a quote or another backslash, where readers differ.
    """
    if not DOTENV_KEY.match(name):
        return None
    if BARE_VALUE.match(value):
        return '%s=%s' % (name, value)
    if "'" not in value and '\\\\' not in value and not value.endswith('\\') and '\r' not in value:
        return "%s='%s'" % (name, value)
    if '$' not in value:
        escaped = value.replace('\\', '\\\\').replace('"', '\\"').replace('\n', '\\n').replace('\r', '\\r')
        return '%s="%s"' % (name, escaped)
    if '\\' not in value and '\r' not in value:
        return "%s='%s'" % (name, value.replace("'", "\\'"))
    return None


def warnings(definition: 'Definition') -> List[str]:
    found = []
    for name, value in pairs(definition):
        if value is None:
            found.append('The variable %s was taken away (-e %s): compose.yaml cannot say that.' % (name, name))
            continue
        if not fits_line(name, value):
            if IDENTIFIER.match(name):
                found.append('The value of %s does not fit into a line of an env file: run.sh reads it from env.sh.'
                             % name)
            else:
                found.append('The variable %s fits neither into an env file nor into the shell: only create.json has '
                             'it.' % show(name))
        if dotenv(name, value) is None:
            found.append('The variable %s cannot be written for Compose: only env or env.sh have it.' % show(name))
    return found
