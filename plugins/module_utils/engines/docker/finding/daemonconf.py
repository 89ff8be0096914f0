"""How the configuration files that can name a data root are read: systemd units, environment files, shell lines,
containerd's TOML, command lines of dockerd. Bytes in, values out; nothing here opens a file.

Values are text decoded with surrogateescape; :func:`to_bytes` gives the bytes of a path back.
"""
import os
import re
import shlex
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Pattern, Sequence, Tuple, Union

from ....disk import fsinfo
from ....formats.patterns import Lazy

MAX_CONFIG = 1024 * 1024                # bytes of one configuration file
MAX_TOML = 131072                       # of those, what is looked at of a TOML file
MAX_LINE = 8192                         # characters of a command after its variables were filled in
MAX_LINES = 100                         # commands of one script


class ContainerdConfig(NamedTuple):
    root: str
    imports: Tuple[str, ...]
    snapshotters: Tuple[Tuple[str, str], ...]   # (name, root_path)


_TOML_STRING = r'"((?:\\.|[^"\\\n])*)"|\'([^\'\n]*)\''
_TOML_KEY = Lazy(r'^[ \t]*(?:imports[ \t]*=[ \t]*\[([^\]]{0,4000})\]|([A-Za-z0-9_-]+)[ \t]*=[ \t]*(?:%s)'
                 r'|\[[ \t]*([^\]\n]+?)[ \t]*\])' % _TOML_STRING, re.MULTILINE)


def _toml(raw: bytes) -> Iterator[Tuple[str, str, Union[Tuple[str, ...], str]]]:
    """Yield (table, key, str or tuple of str) of the few kinds of values that matter here."""
    text = raw[:MAX_TOML].decode('utf-8', 'surrogateescape')
    text = re.sub(r'^[ \t]*#.*$', '', text, flags=re.MULTILINE)
    table = ''
    for match in _TOML_KEY.finditer(text):
        array, key, double, single, header = match.groups()
        if header is not None:
            table = header
        elif array is not None:
            yield table, 'imports', tuple(_toml_text(*found) for found in re.findall(_TOML_STRING, array))
        else:
            yield table, key, _toml_text(double, single)


def _toml_text(double: Optional[str], single: Optional[str]) -> str:
    if single:
        return single
    return re.sub(r'\\(["\\])', r'\1', double or '')


def parse_containerd(raw: bytes) -> ContainerdConfig:
    """ContainerdConfig of a config.toml; what is damaged or of another kind is left out."""
    root, imports, snapshotters = '', (), []
    for table, key, value in _toml(raw):
        if table == '' and key == 'root' and isinstance(value, str):
            root = value
        elif table == '' and key == 'imports' and isinstance(value, tuple):
            imports = value
        elif key == 'root_path' and isinstance(value, str) and value.startswith('/'):
            match = re.match(r'plugins\.\s*["\']?io\.containerd\.snapshotter\.v1\.([A-Za-z0-9_-]+)["\']?\Z', table)
            if match:
                snapshotters.append((match.group(1), value))
    return ContainerdConfig(root, imports, tuple(snapshotters))


class Service(NamedTuple):
    commands: Tuple[Tuple[str, bytes], ...]     # (ExecStart value, file it stands in)
    environment: Tuple[str, ...]
    files: Tuple[str, ...]
    user: str
    fragment: bytes


def dropin_stems(name: bytes) -> List[bytes]:
    """Unit names whose drop-in folders count for NAME, most specific first (systemd.unit(5)): a-b@i.service has
    those of a-b@.service and a-@i.service too."""
    prefix, at, instance = name[:-len(b'.service')].partition(b'@')
    stems = [name]
    if instance:
        stems.extend(dropin_stems(prefix + b'@.service'))
    shorter = prefix.rstrip(b'-').rpartition(b'-')[0]
    if shorter:
        stems.extend(dropin_stems(shorter + b'-' + (at + instance if instance else b'') + b'.service'))
    return stems


def service_of(lines: List[Tuple[bytes, bytes]], fragment: bytes) -> Service:
    commands: List[Any] = []
    environment: List[Any] = []
    files: List[Any] = []
    user = ''
    for path, raw in lines:
        for key, value in parse_unit(raw):
            kept = {'ExecStart': commands, 'Environment': environment, 'EnvironmentFile': files}.get(key)
            if kept is None:
                user = value if key == 'User' else user
            elif not value:
                del kept[:]             # an empty assignment resets the list
            elif key == 'ExecStart':
                commands.append((value, path))
            else:
                kept.append(value)
    return Service(tuple(commands), tuple(environment), tuple(files), user, fragment)


def specify(word: str, specifiers: Dict[str, str]) -> str:
    return re.sub('%(.)', lambda found: specifiers.get(found.group(1), found.group(0)), word)


def unit_unescape(text: str) -> str:
    return re.sub(r'\\x([0-9a-f]{2})', lambda found: chr(int(found.group(1), 16)), text.replace('-', '/'))


def parse_unit(raw: bytes, section: str = 'Service') -> List[Tuple[str, str]]:
    """[(key, value)] of one section of a unit file, in order (systemd.syntax(7))."""
    found = []
    current, pending = '', ''
    for line in raw.decode('utf-8', 'surrogateescape').split('\n') + ['']:
        bare = line.strip()
        if bare[:1] in ('#', ';'):
            continue                    # also between the parts of a continued line
        if (len(bare) - len(bare.rstrip('\\'))) % 2:
            pending += bare[:-1] + ' '
            continue
        bare, pending = (pending + bare).strip(), ''
        if bare.startswith('[') and bare.endswith(']'):
            current = bare[1:-1]
        elif current == section and '=' in bare:
            key, dummy, value = bare.partition('=')
            found.append((key.strip(), value.strip()))
    return found


_ESCAPES = {'a': '\a', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v', 's': ' ', '\\': '\\',
            '"': '"', "'": "'"}
_ESCAPE = Lazy(r'\\(?:x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|([abfnrtvs\\"\']))')


def split_words(text: str) -> List[str]:
    """A line of a unit file -> words, quotes and C escapes resolved (systemd.syntax(7))."""
    words, quote, pos = [], '', 0
    word: Optional[List[str]] = None    # None is no word yet, [] an empty one in quotes
    while pos < len(text):
        char = text[pos]
        pos += 1
        if char == '\\':
            match = _ESCAPE.match(text, pos - 1)
            word = [] if word is None else word
            if match:
                code = match.group(1) or match.group(3)
                word.append(chr(int(code, 16)) if code else chr(int(match.group(2), 8) & 0xff) if match.group(2)
                            else _ESCAPES[match.group(4)])
                pos = match.end()
            else:
                word.append(char)
        elif quote:
            if char == quote:
                quote = ''
            elif word is not None:      # the quote began one
                word.append(char)
        elif char in '"\'':
            quote = char
            word = [] if word is None else word
        elif char in ' \t':
            if word is not None:
                words.append(''.join(word))
                word = None
        else:
            word = [] if word is None else word
            word.append(char)
    if word is not None:
        words.append(''.join(word))
    return words


def command_words(value: str, env: Dict[str, str], specifiers: Optional[Dict[str, str]] = None) -> List[List[str]]:
    """The commands of one ExecStart value as lists of words, variables filled in (systemd.service(5)); the script of
    a ``sh -c`` is taken apart too."""
    words = split_words(value)
    if not words:
        return []
    bare = words[0].lstrip('-@:+!|')
    prefix, words[0] = words[0][:len(words[0]) - len(bare)], bare
    if '@' in prefix:
        del words[1:2]
    commands = [[]]
    for word in words:
        if word == ';':
            commands.append([])
            continue
        word = specify(word, specifiers or {})
        if ':' in prefix:
            commands[-1].append(word)
        elif re.match(r'\$[A-Za-z_][A-Za-z0-9_]*\Z', word):
            commands[-1].extend(split_words(env.get(word[1:], '')[:MAX_LINE]))
        else:
            commands[-1].append(_substitute(_BRACED, word, lambda found: '$' if found.group(1) is None else
                                            env.get(found.group(1), '')))
    for index, words in enumerate(commands):
        for pos, word in enumerate(words[:-1]):
            if os.path.basename(words[0]) in ('sh', 'bash', 'dash', 'ash') and re.match('-[a-z]*c$', word):
                commands[index] = shell_words(words[pos + 1], env)
                break
    return [words for words in commands if words]


_ASSIGNMENT = r'^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)(\+?)='
# an open quote reaches to the end, so that no character is looked at twice
_SHELL_PIECE = r'"(?:\\.|[^"\\])*(?:"|\\?\Z)|\'[^\']*(?:\'|\Z)|\\.|[^\s"\'\\;&|]+'
_SHELL_ENV = Lazy(_ASSIGNMENT + '((?:%s)*)' % _SHELL_PIECE, re.MULTILINE | re.DOTALL)
_SYSTEMD_ENV = Lazy(_ASSIGNMENT + r'[ \t]*("(?:\\.|[^"\\])*(?:"|\\?\Z)|\'[^\']*(?:\'|\Z)|(?:\\.|[^\n\\])*)',
                    re.MULTILINE | re.DOTALL)
_VARIABLE = Lazy(r'\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)(?::?-([^}]{0,200}))?\})')
_BRACED = Lazy(r'\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)\}')


def parse_env(raw: bytes, shell: bool = False) -> Dict[str, str]:
    """{name: value} of a file of assignments: as systemd reads an EnvironmentFile, or as a SHELL would."""
    text = raw.decode('utf-8', 'surrogateescape').replace('\r\n', '\n')
    found = {}
    for name, plus, value in (_SHELL_ENV if shell else _SYSTEMD_ENV).findall(text):
        if shell:
            value = ''.join(_shell_piece(piece, found) for piece in re.findall(_SHELL_PIECE, value, re.DOTALL))
            found[name] = ((found.get(name, '') if plus else '') + value)[:MAX_LINE]
        elif not plus:
            if value[:1] == "'" and value[-1:] == "'" and len(value) > 1:
                value = value[1:-1]
            elif value[:1] == '"' and value[-1:] == '"' and len(value) > 1:
                value = re.sub(r'\\(\n|["\\`$])', lambda match: match.group(1).strip('\n'), value[1:-1])
            else:
                value = re.sub(r'\\(.)', lambda match: match.group(1).strip('\n'), value, flags=re.DOTALL).strip()
            found[name] = value
    return found


def _shell_piece(piece: str, env: Dict[str, str]) -> str:
    if piece[0] == "'":
        return piece[1:].rstrip("'")
    if piece[0] == '"':
        text = _fill(piece[1:-1], env)
        return re.sub(r'\\(\n|["\\`$])', lambda match: match.group(1).strip('\n'), text)
    if piece[0] == '\\':
        return piece[1:].strip('\n')
    return _fill(piece, env)


def _fill(text: str, env: Dict[str, str]) -> str:
    """Shell variables -> their values; an unknown one is empty, as in a shell."""
    return _substitute(_VARIABLE, text, lambda match: env.get(match.group(1) or match.group(2)) or match.group(3) or '')


def _substitute(pattern: Union[Lazy, Pattern[str]], text: str, value: Callable[[Any], str]) -> str:
    """pattern.sub that stops at MAX_LINE: variables made of variables grow without limit."""
    pieces, size, pos = [], 0, 0
    for match in pattern.finditer(text):
        piece = text[pos:match.start()] + value(match)
        size += len(piece)
        if size > MAX_LINE:
            return ''.join(pieces)
        pieces.append(piece)
        pos = match.end()
    return ''.join(pieces) + text[pos:pos + MAX_LINE]


def shell_words(text: str, env: Dict[str, str]) -> List[str]:
    """The words of a shell command, variables of ENV filled in. What follows ``;``, ``|`` or ``&&`` stays in it."""
    text = _fill(text, env)
    try:
        return shlex.split(text)
    except ValueError:                  # an open quote
        return text.split()


def script_flags(raw: bytes, env: Dict[str, str]) -> Iterator[Dict[str, Any]]:
    """Yield the flags of dockerd in lines of a start script that name a data root or a configuration file."""
    text = raw[:MAX_CONFIG].decode('utf-8', 'surrogateescape')
    if 'docker' not in text or '\0' in text:
        return
    known = dict(env)
    known.update(parse_env(raw[:MAX_CONFIG], shell=True))
    lines = 0
    for line in text.replace('\\\n', ' ').split('\n'):
        line = line.strip()
        if line[:1] == '#' or 'docker' not in line.lower() or not re.search(
                r'(^|[\s"\'])(--data-root|--graph|--config-file|-g)[\s=]', line):
            continue
        if re.match(_ASSIGNMENT, line):
            continue                    # used where the variable is used
        lines += 1
        if lines > MAX_LINES:
            return
        flags = flags_of(shell_words(line, known))
        if any('$' in str(value) for value in flags.values()):
            continue
        if flags.get('data-root') or flags.get('config-file'):
            yield flags


_LONG = {'data-root': 'data-root', 'graph': 'data-root', 'config-file': 'config-file', 'exec-root': 'exec-root',
         'pidfile': 'pidfile', 'storage-driver': 'storage-driver', 'storage-opt': 'storage-opts', 'host': 'hosts',
         'userns-remap': 'userns-remap', 'containerd': 'containerd', 'containerd-namespace': 'containerd-namespace',
         'log-driver': 'log-driver', 'label': None, 'log-opt': None, 'group': None, 'bridge': None, 'log-level': None}
_SHORT = {'g': 'data-root', 'p': 'pidfile', 's': 'storage-driver', 'H': 'hosts', 'G': None, 'b': None, 'l': None}
_LISTS = ('storage-opts', 'hosts')
_DAEMON = Lazy(r'dockerd(-(current|latest|ce|dev|rootless))?(\.sh)?\Z')
_OLD_DAEMON = Lazy(r'docker(-(current|latest))?\Z')


def daemon_flags(words: Sequence[str]) -> Optional[Dict[str, Any]]:
    """Flags of the dockerd that a command line starts, in daemon.json's spelling; None if it starts none.

    Old spellings too: ``docker daemon -g DIR``, ``docker -d --graph=DIR`` (up to 1.12).
    """
    for index, word in enumerate(words):
        name = os.path.basename(word)
        rest = list(words[index + 1:])
        if _DAEMON.match(name):
            return flags_of(rest)
        if _OLD_DAEMON.match(name):
            return flags_of(rest) if _is_old_daemon(rest) else None
    return None


def _is_old_daemon(words: List[str]) -> bool:
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in ('daemon', '-d', '--daemon', '--daemon=true', '-d=true'):
            return True
        elif not word.startswith('-'):
            return False                # docker run -d ...
        elif '=' not in word:
            skip = word.lstrip('-') in _LONG or word[1:] in _SHORT
    return False


def containerd_flags(words: List[str]) -> Optional[Dict[str, str]]:
    """{'root', 'config'} of the containerd that a command line starts; None if it starts none."""
    for index, word in enumerate(words):
        if os.path.basename(word) in ('containerd', 'docker-containerd'):
            return flags_of(words[index + 1:], {'root': 'root', 'config': 'config', 'state': None, 'address': None,
                                                'log-level': None}, {'c': 'config', 'a': None, 'l': None})
    return None


def flags_of(words: List[str], longs: Optional[Dict[str, Optional[str]]] = None, shorts: Optional[Dict[str, Optional[str]]] = None) -> Dict[str, Any]:
    """{key: value} of the flags in WORDS; a flag's value may follow it or stand behind ``=``; the last one counts."""
    longs = _LONG if longs is None else longs
    shorts = _SHORT if shorts is None else shorts
    found = {}
    words = iter(words)
    for word in words:
        if word.startswith('--'):
            name, equals, value = word[2:].partition('=')
            if name in longs:
                _keep(found, longs[name], value if equals else next(words, None))
        elif word.startswith('-'):
            letters = word[1:]
            while letters:
                letter, letters = letters[0], letters[1:]
                if letter in shorts:
                    value = letters[1:] if letters.startswith('=') else letters
                    _keep(found, shorts[letter], value if letters else next(words, None))
                    break
                if letter not in 'Ddrv':
                    break
    return found


def _keep(found: Dict[str, Any], key: Optional[str], value: Optional[str]) -> None:
    if key is None or value is None:
        return
    if key in _LISTS:
        found.setdefault(key, []).append(value)
    else:
        found[key] = value


def json_root(settings: Dict[str, Any]) -> Tuple[Optional[str], str]:
    """(what a daemon.json names as data root, by which key); (None, '') if nothing."""
    for key in ('data-root', 'graph'):
        if isinstance(settings.get(key), str) and settings[key].strip():
            return settings[key], key
    return None, ''


def to_bytes(text: str) -> bytes:
    """Text of a configuration file -> the bytes of a path."""
    try:
        return text.encode('utf-8', 'surrogateescape')
    except UnicodeEncodeError:
        return text.encode('utf-8', 'replace')


def absolute(text: str) -> bytes:
    """dockerd runs in ``/``: a relative path is relative to that."""
    return fsinfo.clean(os.path.join(b'/', to_bytes(text)))
