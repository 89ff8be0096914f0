"""systemd units of a host: which are worth reading, their drop-ins by systemd's precedence, the commands they start and
the scripts that those name (systemd.unit(5), systemd.service(5), systemd.exec(5)).
"""
import fnmatch
import os
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Tuple

from ....disk import fsinfo
from ....formats.wording import show
from .daemonconf import (
    Service,
    command_words,
    daemon_flags,
    dropin_stems,
    parse_env,
    script_flags,
    service_of,
    specify,
    split_words,
    to_bytes,
    unit_unescape,
)

if TYPE_CHECKING:
    from .homes import User
    from .scan import Scan

# systemd.unit(5), highest priority first; ADMIN_UNITS: where people put units of any name
SYSTEM_UNITS = (b'/etc/systemd/system.control', b'/run/systemd/system.control', b'/run/systemd/transient',
                b'/run/systemd/generator.early', b'/etc/systemd/system', b'/run/systemd/system',
                b'/run/systemd/generator', b'/usr/local/lib/systemd/system', b'/usr/lib/systemd/system',
                b'/lib/systemd/system', b'/run/systemd/generator.late')
ADMIN_UNITS = (b'/run/systemd/transient', b'/etc/systemd/system', b'/run/systemd/system',
               b'/usr/local/lib/systemd/system')
USER_UNITS = (b'/etc/systemd/user', b'/run/systemd/user', b'/usr/local/lib/systemd/user', b'/usr/lib/systemd/user')
MAX_UNITS = 300                         # worth reading; real hosts stay far below


def service_names(scan: 'Scan', folders: Tuple[bytes, ...], admin: Tuple[bytes, ...], word: bytes = b'docker') -> List[bytes]:
    """Names of services worth reading: by their name, and in ADMIN folders whatever their name."""
    found = []
    for folder in folders:
        for name in scan.names(folder):
            is_unit = name.endswith(b'.service')
            if not is_unit and not name.endswith(b'.service.d'):
                continue
            unit = name if is_unit else name[:-2]
            if unit in found or unit == b'.service':
                continue
            if word in unit or folder in admin and (not is_unit or not _is_alias(scan, folder, name)):
                found.append(unit)
    return _instances(scan, folders, found[:MAX_UNITS])


def _is_alias(scan: 'Scan', folder: bytes, name: bytes) -> bool:
    """sshd.service -> /lib/systemd/system/ssh.service is only another name."""
    try:
        return os.path.basename(scan.host.readlink(os.path.join(folder, name))) != name
    except OSError:
        return False


def _instances(scan: 'Scan', folders: Tuple[bytes, ...], names: List[bytes]) -> List[bytes]:
    """docker@.service stands for those instances that something wants or that have drop-ins."""
    templates = [name for name in names if name.endswith(b'@.service')]
    if not templates:
        return names
    known = set(names)
    for folder in folders:
        for name in scan.names(folder):
            if name.endswith((b'.wants', b'.requires')):
                known.update(scan.names(os.path.join(folder, name)))
    for name in sorted(known):
        if any(name.startswith(one[:-len(b'.service')]) and name != one and name.endswith(b'.service')
               for one in templates) and name not in names:
            names.append(name)
    return [name for name in names if name not in templates]


def _load(scan: 'Scan', name: bytes, folders: Tuple[bytes, ...]) -> Optional[Service]:
    """Service of a unit with its drop-ins by systemd's precedence; None if there is none or it is masked."""
    fragment, lines = b'', []
    template = name[:name.index(b'@') + 1] + b'.service' if b'@' in name else None
    for unit in (name, template):
        for folder in folders if unit else ():
            if unit in scan.names(folder):
                fragment = os.path.join(folder, unit)
                break
        if fragment:
            break
    if fragment:
        raw = scan.read(fragment)
        if not raw or not raw.strip():
            return None                 # masked
        lines.append((fragment, raw))
    stems = dropin_stems(name)
    files: Dict[bytes, bytes] = {}
    places = [(folder, stem) for folder in folders for stem in stems] + [(folder, b'service') for folder in folders]
    for folder, stem in places:
        if stem + b'.d' in scan.names(folder):
            inner = os.path.join(folder, stem + b'.d')
            for conf in scan.names(inner):
                if conf.endswith(b'.conf'):
                    files.setdefault(conf, inner)           # a file of the same name in a later folder is masked
    for conf in sorted(files):
        path = os.path.join(files[conf], conf)
        lines.append((path, scan.read(path) or b''))
    return service_of(lines, fragment)


def unit_commands(scan: 'Scan', name: bytes, folders: Tuple[bytes, ...],
                  user: 'Optional[User]') -> Iterator[Tuple[List[str], str, Dict[str, str], Service]]:
    """Yield (words, where it stands, environment, service) of every ExecStart command of a unit."""
    service = _load(scan, name, folders)
    if service is None or not service.commands:
        return
    specifiers = _specifiers(name, user)
    env = {}
    for line in service.environment:
        for word in split_words(line):
            key, equals, value = specify(word, specifiers).partition('=')
            if equals:
                env[key] = value
    for value in service.files:
        path = specify(value.strip().strip('"'), specifiers).lstrip('-')
        for found in matching(scan, to_bytes(path)) if path.startswith('/') else ():
            env.update(parse_env(scan.read(found) or b''))
    for value, file in service.commands:
        where = 'systemd unit %s ExecStart' % show(name) if file == service.fragment else \
            'systemd drop-in %s ExecStart' % show(file)
        for words in command_words(value, env, specifiers):
            yield words, where, env, service


def unit_daemons(scan: 'Scan', name: bytes, folders: Tuple[bytes, ...],
                 user: 'Optional[User]') -> 'Iterator[Tuple[Dict[str, Any], str, Dict[str, str], Optional[User]]]':
    """Yield (flags, where, environment, rootless user or None) of every dockerd that a unit starts."""
    for words, where, env, service in unit_commands(scan, name, folders, user):
        owner = user
        if user is None and service.user not in ('', 'root', '0'):
            owner = next((one for one in scan.users if service.user in (one.name, str(one.uid))), None)
            if owner is None:
                continue
        flags = daemon_flags(words)
        if flags is not None:
            yield flags, where, env, owner
        elif b'docker' in name and words[0].startswith('/'):
            for flags in script_flags(_script(scan, to_bytes(words[0])), env):
                yield flags, '%s (%s)' % (where, show(words[0])), env, owner


def _script(scan: 'Scan', path: bytes) -> bytes:
    """The text of an administrator's own script around dockerd, b'' if it is not a script."""
    try:
        raw = scan.host.read(path, 65536)
    except OSError:
        return b''                      # most programs are larger than a script
    return raw if raw.startswith(b'#!') else b''


def _specifiers(name: bytes, user: 'Optional[User]') -> Dict[str, str]:
    text = name.decode('utf-8', 'surrogateescape')
    stem = text[:-len('.service')]
    prefix, dummy, instance = stem.partition('@')
    found = {'n': text, 'N': stem, 'p': prefix, 'i': instance, 'I': unit_unescape(instance), '%': '%',
             'j': prefix.rpartition('-')[2], 'T': '/tmp', 'V': '/var/tmp'}
    if user is None:
        found.update(h='/root', u='root', U='0', S='/var/lib', t='/run', E='/etc', C='/var/cache', L='/var/log')
    else:
        home = user.home.decode('utf-8', 'surrogateescape')
        found.update(h=home, u=user.name, U=str(user.uid), S=home + '/.local/state', t='/run/user/%s' % user.uid,
                     E=home + '/.config', C=home + '/.cache', L=home + '/.local/state/log')
    return found


def matching(scan: 'Scan', path: bytes) -> List[bytes]:
    """[paths] that match PATH, whose last component may hold wildcards; PATH itself if it has none."""
    path = fsinfo.clean(path)
    folder, name = os.path.split(path)
    if not any(char in path for char in (b'*', b'?', b'[')):
        return [path]
    return [os.path.join(folder, found) for found in scan.names(folder) if fnmatch.fnmatchcase(found, name)]
