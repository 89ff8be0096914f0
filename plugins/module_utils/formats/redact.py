"""Secrets in what is recorded of containers: found by the name of a value and by its shape, and replaced.

One place for everything that is printed, returned or reported: values of the environment and of labels, options of volumes
and of log drivers, arguments of commands, and texts that repeat one of them. What recreates a container (config/ of a
bundle) keeps its values. A shape is a guess: an ordinary password under an ordinary name is not found, and a harmless
value that looks like a key is replaced.
"""
import math
import re
from typing import Any, Dict, Iterable, List, Match, Sequence

from .patterns import Lazy

REDACTED = 'VALUE_REDACTED'
SHORTEST = 20                           # letters and digits of what counts as a key by its look alone
LONGER = 30                             # the same where other characters are between them, as in paths and names
REPEATED = 6                            # and of a known secret that is looked for in other values

# anywhere in a name, whatever is around it: MYSQL_ROOT_PASSWORD, pgpassword, X-Api-Key
_NAMES = Lazy(r'(?i)passw|passphrase|secret|token|credential|api[_.-]?key|access[_.-]?key|private[_.-]?key|basic[_.-]?auth|digest[_.-]?auth|'
              r'cookie|authoriz|(?:require|root|user|db)pass|masterauth')
# only as a word of a name: auth, not author; key, not keyboard
_WORDS = frozenset(('pass', 'pwd', 'pw', 'key', 'keys', 'auth', 'oauth', 'cred', 'creds', 'cert', 'session', 'private', 'salt', 'pin',
                    'jwt', 'bearer', 'htpasswd', 'dsn', 'signature'))
_WORD = Lazy(r'[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+')
# names of values that look like keys and are none
_HASHES = frozenset(('hash', 'digest', 'revision', 'commit', 'sha', 'sha1', 'sha256', 'checksum', 'id', 'uid', 'uuid', 'ref', 'version',
                     'image', 'build', 'anonymous', 'node'))
# names of variables whose values many labels repeat
_COMMON = frozenset(('version', 'path', 'home', 'lang', 'lc', 'tz', 'release', 'name', 'user', 'host', 'hostname'))
_PLAIN = frozenset(('', 'true', 'false', 'yes', 'no', 'on', 'off', 'null', 'none'))
# what the tools of this collection and Compose itself look up: redacted by the rest of the name, not by a look
_KEPT = ('com.docker.compose.', 'com.docker.swarm.', 'com.docker.stack.', 'io.kubernetes.', 'lifeboat.', 'org.opencontainers.image.')

# Each pattern takes linear time: what it repeats has an end, or begins once in a run of its characters.
_URL = Lazy(r'(?i)\b([a-z][a-z0-9+.-]{0,30}://)([^\s/@:"\']{0,300}):([^\s/@"\']{1,3000})@')
_QUERY = Lazy(r'(?i)([?&;][^=?&;\s]{0,60}?(?:token|secret|password|passwd|pwd|key|signature|sig|auth)[^=?&;\s]{0,60}=)([^&;\s"\']+)')
_SHAPES = Lazy(r'''(?x)
    -----BEGIN\ [A-Z0-9 ]{0,40}PRIVATE\ KEY-----(?:.|\n)*?(?:-----END\ [A-Z0-9 ]{0,40}PRIVATE\ KEY-----|\Z)
    | \$(?:2[abxy]|apr1|argon2[a-z]*|5|6|1|y|7|gy|pbkdf2[a-z0-9-]*)\$[^\s:,"']{8,}          # crypt(3), htpasswd
    | \{(?:S?SHA(?:256|512)?|S?MD5|CRYPT)\}[A-Za-z0-9+/=$.]{8,}
    | (?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*                           # JWT
    | \b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}\b                                             # AWS
    | \b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|xox[abeoprs]-[A-Za-z0-9-]{10,}
        |sk_(?:live|test)_[A-Za-z0-9]{10,}|sk-[A-Za-z0-9_-]{20,}|AIza[A-Za-z0-9_-]{30,}|npm_[A-Za-z0-9]{30,}|dckr_pat_[A-Za-z0-9_-]{20,}
        |hvs\.[A-Za-z0-9_-]{20,}|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,})
''')
_BASIC = Lazy(r'(?i)\b((?:authorization:\s*)?(?:basic|bearer)\s+)([A-Za-z0-9+/=._~-]{8,})')
# NAME=VALUE, NAME: VALUE, "NAME": "VALUE" inside of a text; the name decides
_PAIR = Lazy(r'(?<![A-Za-z0-9_.-])([A-Za-z0-9_.-]+)(["\']?\s*[=:]\s*)("[^"]*"|\'[^\']*\'|[^\s,;&"\']+)')
# curl -u NAME:PASSWORD, but not --user 1000:1000
_LOGIN = Lazy(r'((?:^|\s)(?:-u|--user|--proxy-user)(?:\s*|=)["\']?[^\s:"\']+:)(?!\d+\b)([^\s"\']+)')
# mysql -pPASSWORD, sshpass -p PASSWORD, redis-cli -a PASSWORD
_SHORT = Lazy(r'(\b(?:(?:mysql|mariadb)\S{0,20}\s(?:[^|;&]{0,200}?\s)?-p|sshpass\s+-p\s*|redis-cli\s(?:[^|;&]{0,200}?\s)?-a\s+))([^\s|;&-][^\s|;&]*)')
# what is looked for in a text, and of what one must be in it, or the pattern has nothing to find; '' is in every text
_IN_TEXT = ((_QUERY, ('=',)), (_BASIC, ('',)), (_LOGIN, ('-u',)), (_SHORT, ('-p', '-a')))
_PIECES = Lazy(r'[A-Za-z0-9+/=_-]+')
_FLAG = Lazy(r'(--?[A-Za-z0-9][A-Za-z0-9_.-]*)(?:=(.*))?\Z', re.DOTALL)


def is_secret_name(name: str) -> bool:
    """Does a value of this NAME (of a variable, a label, an option, a flag) count as secret, whatever it is?"""
    if _NAMES.search(name):
        return True
    return any(word.lower() in _WORDS for word in _WORD.findall(name))


def text(value: str) -> str:
    """VALUE (a sentence, a command line) without the secrets that their shape or the name before them tells.

    Random-looking strings alone are kept: digests and IDs are such, and sentences need them.
    """
    if '://' in value:
        value = _URL.sub(r'\1\2:%s@' % REDACTED, value)
    value = _SHAPES.sub(REDACTED, value)
    for pattern, marks in _IN_TEXT:
        if any(mark in value for mark in marks):
            value = pattern.sub(r'\1' + REDACTED, value)
    return _PAIR.sub(_pair, value) if '=' in value or ':' in value else value


def value_of(name: str, value: str, known: Iterable[str] = ()) -> str:
    """VALUE of the label, variable or option NAME, replaced as a whole if it is or holds a secret. KNOWN: secrets that may be in it."""
    if value.lower() in _PLAIN:
        return value
    prefix = next((one for one in _KEPT if name.startswith(one)), '')
    if is_secret_name(name[len(prefix):]) or text(value) != value:
        return REDACTED
    if not prefix and (_looks_random(name, value) or any(one in value for one in known)):
        return REDACTED
    return value


def values(mapping: Dict[str, Any], environment: Iterable[str] = ()) -> Dict[str, Any]:
    """Labels, or options of a log driver, each through :func:`value_of`.

    ENVIRONMENT: NAME=VALUE strings of the same container. A label that repeats one of its values, or holds a secret of it, is
    replaced too.
    """
    items = [item.partition('=')[::2] for item in environment]
    same = frozenset(value for name, value in items if len(value) >= REPEATED and not _is_common(name))
    known = [value for name, value in items if len(value) >= REPEATED and value_of(name, value) == REDACTED]
    return {name: value if not isinstance(value, str) else
            REDACTED if value in same and not name.startswith(_KEPT) else value_of(name, value, known)
            for name, value in mapping.items()}


def options(mapping: Dict[str, str]) -> Dict[str, str]:
    """Options of a volume. `o` is a list of mount options: only the values of the secret ones in it are replaced."""
    found = {}
    for name, value in mapping.items():
        if name == 'o':
            found[name] = ','.join(_mount_option(item) for item in value.split(','))
        else:
            found[name] = REDACTED if value and is_secret_name(name) else text(value)
    return found


def argv(words: Iterable[str]) -> List[str]:
    """A command: values of secret flags (``--password x``, ``--password=x``), URLs and shapes are replaced, its form stays."""
    found: List[str] = []
    flag = ''                           # the one whose value comes next
    program = ''
    for word in words:
        match = _FLAG.match(word)
        if flag and not match:
            whole = '%s %s %s' % (program, flag, word)
            found.append(REDACTED if is_secret_name(flag) else text(whole)[len(program) + len(flag) + 2:])
        elif match and match.group(2) is not None and is_secret_name(match.group(1)):
            found.append('%s=%s' % (match.group(1), REDACTED))
        elif match:
            found.append(text('%s %s' % (program, word))[len(program) + 1:])
        else:
            found.append(text(word))
        flag = match.group(1) if match and match.group(2) is None else ''
        program = program or re.sub(r'[^a-z0-9_.-]', '', word.rpartition('/')[2])
    return found


def env(items: Iterable[str]) -> Dict[str, str]:
    """{name: REDACTED} of NAME=VALUE strings: of the environment no value is shown."""
    return {item.partition('=')[0]: REDACTED for item in items}


def _is_common(name: str) -> bool:
    """Variables whose values are not secret although many labels repeat them."""
    return any(word.lower() in _COMMON for word in _WORD.findall(name))


def _pair(match: Match[str]) -> str:
    name, sign, value = match.groups()
    # what begins with // is the rest of a URL; a word before a colon and a space may belong to a sentence
    sure = _NAMES.search(name) if sign.rstrip() != sign and ':' in sign else is_secret_name(name)
    return name + sign + REDACTED if sure and not value.startswith('//') and value != REDACTED else match.group(0)


def _mount_option(item: str) -> str:
    name, sign, value = item.partition('=')
    if sign and value and is_secret_name(name):
        return '%s=%s' % (name, REDACTED)
    return text(item)


def _looks_random(name: str, value: str) -> bool:
    """Is a part of VALUE a key by its look: long, of mixed letters and digits, without the repetitions of words?"""
    if any(word.lower() in _HASHES for word in _WORD.findall(name)) or value.startswith('sha256:'):
        return False
    path = value.startswith(('/', './', '../', '~'))
    return any(_random(one.strip('=')) for piece in _PIECES.findall(value)
               for one in piece.split('/') + ([piece] if '/' in piece and not path else []))


def _random(piece: str) -> bool:
    letters = [char for char in piece if char.isalnum()]
    if len(letters) < (SHORTEST if len(letters) == len(piece) else LONGER) or not any(map(str.isdigit, letters)) or all(map(str.isdigit, letters)):
        return False
    if re.match(r'[0-9a-fA-F]{32,}\Z', piece):
        return _entropy(piece) > 3.0
    kinds = [char.isdigit() or (2 if char.isupper() else 0) for char in letters]
    changes = sum(one != other for one, other in zip(kinds, kinds[1:]))
    return changes * 4 >= len(letters) and _entropy(letters) > 3.0      # words and versions change less often


def _entropy(piece: Sequence[str]) -> float:
    """Bits for each character."""
    counts: Dict[str, int] = {}
    for char in piece:
        counts[char] = counts.get(char, 0) + 1
    return -sum(count / len(piece) * math.log(count / len(piece), 2) for count in counts.values())
