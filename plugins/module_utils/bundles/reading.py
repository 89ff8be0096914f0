"""Reading and checking bundles.

A bundle is data from elsewhere: whoever wrote it may have been the dead host's intruder. So a file counts only
if SHA256SUMS lists it, every name stays below the bundle's folder, nothing is opened through a link, and nothing
in manifest.json is believed before its type was looked at.
"""
import errno
import os
import re
import stat
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple, Union

from ..disk import safeio
from ..disk.errors import LifeboatError
from ..formats import jsonish, pieces, wording
from ..formats.values import NOTHING, as_int, as_list, as_str
from ..formats.wording import raw, show, text

if TYPE_CHECKING:
    from typing import Protocol  # Python 3.8

    class Remote(Protocol):
        """A bundle on the controller (transport.inbox.Inbox)."""
        def info(self) -> 'BundleInfo':
            ...

        def document(self, name: bytes) -> Any:
            ...

        def open(self, name: bytes) -> int:
            ...

SCHEMA_VERSIONS = (1, 2)
DEPLOYMENT = 'deployment'               # the original files of a host; nothing in it is restored like the rest
KINDS = ('container', 'volume', 'orphan', 'image', DEPLOYMENT)
MANIFEST = b'manifest.json'
SUMS = b'SHA256SUMS'
# what a signature adds on the controller, after SHA256SUMS was written (signature.py)
SIGNATURE, CUSTODY, CUSTODY_SIGNATURE = b'SHA256SUMS.sig', b'custody.json', b'custody.json.sig'
UNFINISHED = b'.partial'                # behind the name of a bundle at work, which has a dot before it
BESIDE = (SIGNATURE, CUSTODY, CUSTODY_SIGNATURE)

VERIFIED = 'verified'
UNVERIFIED = 'unverified'               # only with verify=False: there, of the right size, content not read
DAMAGED = 'damaged'
INCOMPLETE = 'incomplete'

MAX_DEPTH = 3                           # <dest>/<host>/<bundle>
MAX_DEEP = 16                           # folders in folders within a bundle; ours have three
MAX_MANIFEST = 32 << 20
MAX_SUMS = 8 << 20                      # about 80,000 files; bundles have dozens
MAX_VALUES = 2 << 20                    # in one JSON file: each takes up to fifty times its bytes
MAX_FILE_NAME = 4096
MANY = 4 << 30                          # bytes of a file that may be holes
LARGEST = (1 << 63) - 1                 # off_t
OTHER_IMAGE = 'other_image: '            # a mark of a dump; the name of the image follows
MAX_WORDS = 1000                        # characters of one text of a dump
MAX_LIST = 50
ARCHIVES = ('volume', 'bind', 'writable', 'rootfs', 'open-files')
SUM_LINE = re.compile(br'(\\?)([0-9a-f]{64}) [ *](.+)\Z', re.DOTALL)
ESCAPES = {b'\\n': b'\n', b'\\r': b'\r', b'\\\\': b'\\'}


class BundleInfo(NamedTuple):
    """One bundle as found. `differences`: ({'file': str, 'problem': str}, ...); empty if there are none.

    The names in both are as they are on the disk: whoever shows them puts them through wording.show().
    `extra` names files that SHA256SUMS does not list: nothing reads them, so they do not change the status.
    `sums` is {name (bytes): hex SHA-256}. `remote`: an inbox.Inbox through which a bundle on the controller is read.
    """
    path: bytes
    status: str
    differences: Tuple[Dict[str, str], ...]
    manifest: Dict[str, Any]
    extra: Tuple[str, ...] = ()
    sums: Dict[bytes, str] = NOTHING
    remote: Any = None
    marks: Dict[bytes, Tuple[int, ...]] = NOTHING    # what told each file when it was checked: it must be the same when it is used
    beside: Tuple[bytes, ...] = ()      # those of BESIDE that are there; they are not listed in SHA256SUMS


def find_bundles(path: Union[bytes, str]) -> List[bytes]:
    """Paths (bytes, sorted) of the bundles at or below PATH: PATH itself, or folders up to three levels down.

    Folders whose names begin with a dot (a rescue still at work, or killed) are left out.
    Raises LifeboatError where PATH is no folder.
    """
    return sorted(where for where, names in _walk(path) if MANIFEST in names or SUMS in names)


def unfinished(path: Union[bytes, str]) -> List[bytes]:
    """Paths (bytes, sorted) of the bundles below PATH that a rescue began and did not end, and that are not there from an earlier one: what
    a rescue still at work, or one that was killed or had no room, has not written. Raises LifeboatError where PATH is no folder."""
    return sorted(os.path.join(where, name[1:-len(UNFINISHED)]) for where, names in _walk(path) for name in names
                  if name.startswith(b'.') and name.endswith(UNFINISHED) and name[1:-len(UNFINISHED)] not in names)


def linked(path: Union[bytes, str]) -> List[bytes]:
    """Paths (bytes, sorted) of the links below PATH that lead to bundles. find_bundles() leaves them out. Raises LifeboatError where PATH is no
    folder."""
    return sorted(place for where, names in _walk(path) if MANIFEST not in names and SUMS not in names
                  for place in (os.path.join(where, name) for name in names)
                  if os.path.islink(place) and any(os.path.exists(os.path.join(place, name)) for name in (MANIFEST, SUMS)))


def _walk(path: Union[bytes, str]) -> Iterator[Tuple[bytes, List[bytes]]]:
    """Yield (path, names in it) of PATH and of the folders down to the bundles below it. Raises LifeboatError."""
    path = os.path.abspath(raw(path))
    if b'\0' in path or not os.path.isdir(path):
        raise LifeboatError('%s is not a folder; give a bundle (a folder with manifest.json) or a folder of bundles.'
                            % show(path))
    where = path
    try:
        with safeio.Dir.root(os.path.realpath(path)) as top:
            pending = [(path, top, 0)]
            while pending:
                where, folder, depth = pending.pop()
                names = folder.names()
                yield where, names
                if MANIFEST not in names and SUMS not in names and depth < MAX_DEPTH:
                    pending.extend((os.path.join(where, name), inner, depth + 1) for name, inner in _folders(folder, names))
    except OSError as exc:
        raise LifeboatError('Cannot list %s: %s.' % (show(where), exc.strerror))


def _folders(folder: safeio.Dir, names: List[bytes]) -> Iterator[Tuple[bytes, safeio.Dir]]:
    """Yield (name, Dir) of the folders among NAMES that may be or hold bundles; links are left out."""
    for name in names:
        if name.startswith(b'.'):
            continue
        try:
            yield name, folder.child(name)
        except OSError as exc:
            if exc.errno not in (errno.ENOTDIR, errno.ELOOP, errno.ENOENT, errno.ENXIO):
                raise


def inspect_bundle(path: Union[bytes, str], verify: bool = True, seen: Optional[Dict[Tuple[int, int, int, int], str]] = None) -> BundleInfo:
    """Check one bundle against its SHA256SUMS and manifest.json -> BundleInfo.

    `damaged`: something is there but differs; `incomplete`: something that belongs to it is missing. VERIFY false
    compares only presence and sizes and never answers `verified`. SEEN: a dict for all bundles of one run, so that a file
    that several of them have (hard links) is read once. Raises LifeboatError if PATH cannot be opened.
    """
    path = os.path.abspath(raw(path))
    check = _Check()
    try:
        # the path that the user gave may be a link; what is below it may not
        root = safeio.Dir.root(os.path.realpath(path))
    except OSError as exc:
        raise LifeboatError('Cannot open the bundle %s: %s.' % (show(path), exc.strerror))
    with root:
        sums = _read_sums(root, check)
        manifest = _read_manifest(root, check)
        sizes = _component_sizes(manifest, sums, check)
        present = dict(_files(root, check))
        for name in sorted(sums):
            _check_file(root, name, sums[name], sizes.get(name), name in present, verify, check, seen)
    unlisted = [name for name in sorted(present) if name not in sums and name != SUMS]
    extra = tuple(text(name) for name in unlisted if name not in BESIDE)
    if check.damaged:
        status = DAMAGED
    elif check.missing:
        status = INCOMPLETE
    else:
        status = VERIFIED if verify else UNVERIFIED
    return BundleInfo(path, status, tuple(check.differences), manifest, extra, sums, None, check.marks,
                      tuple(name for name in unlisted if name in BESIDE))


def inspect_head(path: bytes, remote: 'Remote') -> BundleInfo:
    """BundleInfo of a bundle that is elsewhere, from a copy of its small files (SHA256SUMS, manifest.json, config/) in the
    folder PATH. Those are verified here; the others when they are read."""
    check = _Check()
    with safeio.Dir.root(path) as root:
        sums = _read_sums(root, check)
        manifest = _read_manifest(root, check)
        _component_sizes(manifest, sums, check)
        for name in sorted(sums):
            if name == MANIFEST or name.startswith(b'config/'):
                _check_file(root, name, sums[name], None, os.path.lexists(os.path.join(path, name)), True, check)
    status = DAMAGED if check.damaged else INCOMPLETE if check.missing else VERIFIED
    return BundleInfo(path, status, tuple(check.differences), manifest, (), sums, remote)


def open_file(info: BundleInfo, name: bytes) -> int:
    """Descriptor of a bundle's file that SHA256SUMS lists (NAME bytes). Raises LifeboatError."""
    if name not in info.sums:
        raise LifeboatError('The bundle %s has no %s in its SHA256SUMS.' % (show(info.path), show(name)))
    if info.remote is not None and not os.path.lexists(os.path.join(info.path, name)):
        return info.remote.open(name)
    try:
        with safeio.Dir.root(os.path.realpath(info.path)) as root:
            fd = _open_below(root, name)
    except OSError as exc:
        raise LifeboatError('Cannot open %s of the bundle %s: %s.' % (show(name), show(info.path), exc.strerror))
    try:
        refuse_changed(info, name, fd)
    except BaseException:
        os.close(fd)
        raise
    return fd


def refuse_changed(info: BundleInfo, name: bytes, fd: int) -> None:
    """LifeboatError if the file behind FD is not, or is not any more, what was checked under NAME."""
    if info.marks.get(name, _mark(os.fstat(fd))) != _mark(os.fstat(fd)):
        raise LifeboatError('%s of the bundle %s was changed after it was checked: run again, when nobody writes there.'
                            % (show(name), show(info.path)))


def _mark(st: os.stat_result) -> Tuple[int, ...]:
    return st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns


def read_file(info: BundleInfo, name: bytes, limit: int = safeio.MAX_METADATA) -> bytes:
    """The bytes of a small file of a bundle. Raises LifeboatError."""
    fd = open_file(info, name)
    try:
        return safeio.read_all(fd, limit)
    except OSError as exc:
        raise LifeboatError('Cannot read %s of the bundle %s: %s.' % (show(name), show(info.path), exc.strerror))
    finally:
        os.close(fd)


def components(manifest: Dict[str, Any], kind: Optional[str] = None) -> List[Dict[str, Any]]:
    """The manifest's components as a list of dicts, those of one KIND if given."""
    found = [item for item in as_list(manifest.get('components')) if isinstance(item, dict)]
    return [item for item in found if kind is None or kind_of(item) == kind]


def kind_of(component: Dict[str, Any]) -> str:
    """writable, rootfs, image, volume, bind, log or config: `kind`, or the part of `name` before the colon."""
    kind = component.get('kind') or component.get('name')
    return kind.split(':', 1)[0] if isinstance(kind, str) else ''


def component_name(component: Dict[str, Any]) -> str:
    """Of a volume its name; of others what stands behind the colon of `name`, or all of it."""
    found = component.get('name')
    name = found if isinstance(found, str) else ''
    volume = component.get('volume')
    return (volume if isinstance(volume, str) else '') or name.partition(':')[2] or name


def component_file(component: Dict[str, Any]) -> Optional[bytes]:
    """The component's file as bytes relative to the bundle, None where nothing was written."""
    name = component.get('file')
    return text(name).encode('utf-8') if isinstance(name, str) and name else None


def dump_facts(component: Dict[str, Any]) -> Dict[str, Any]:
    """What a component of the kind `dump` says of its database, for people: engine, version, data_path, tables, rows, marks, missing.
    {} for any other. Nothing in it is believed to be of the right type."""
    if kind_of(component) != 'dump':
        return {}
    found: Dict[str, Any] = {key: show(as_str(component.get(key))[:MAX_WORDS]) for key in ('engine', 'version', 'data_path')}
    found.update((key, min(max(0, as_int(component.get(key)) or 0), LARGEST)) for key in ('tables', 'rows'))
    found.update((key, [show(each[:MAX_WORDS]) for each in as_list(component.get(key))[:MAX_LIST] if isinstance(each, str)])
                 for key in ('marks', 'missing'))
    return found


class _Check(object):
    """Collects what differs."""

    def __init__(self) -> None:
        self.differences: List[Dict[str, str]] = []
        self.marks: Dict[bytes, Tuple[int, ...]] = {}
        self.damaged = self.missing = False

    def wrong(self, name: bytes, problem: str) -> None:
        self.damaged = True
        self.differences.append({'file': text(name), 'problem': problem})

    def lacking(self, name: bytes, problem: str = 'is missing') -> None:
        self.missing = True
        self.differences.append({'file': text(name), 'problem': problem})


def brief(value: Any) -> str:
    """Something of a bundle in a sentence: one line, and not longer than a name can be."""
    if not isinstance(value, (bytes, str)):
        value = repr(value) if isinstance(value, (int, float, bool)) or value is None else 'a %s' % type(value).__name__
    return show(value) if len(value) <= 300 else show(value[:300]) + '...'


def safe_name(name: bytes) -> bool:
    """True if NAME (bytes) is relative and stays below its folder, in the plain form without empty parts."""
    return (bool(name) and b'\0' not in name and len(name) <= MAX_FILE_NAME
            and all(part not in (b'', b'.', b'..') for part in name.split(b'/')))


def parse_sums(raw: bytes) -> Tuple[Dict[bytes, str], List[Tuple[int, str]]]:
    """Lines of a checksum file -> ({name (bytes): hex}, [(line number, problem)]).

    sha256sum(1): two characters between sum and name, a leading backslash where the name has \\n, \\r or \\\\ in it.
    """
    sums = {}
    problems = []
    for number, line in enumerate(raw.split(b'\n'), 1):
        if not line:
            continue
        match = SUM_LINE.match(line)
        if not match:
            problems.append((number, 'is not "<sha256>  <name>"'))
            continue
        name = match.group(3)
        if match.group(1):
            name = re.sub(br'\\[nr\\]', lambda found: ESCAPES[found.group()], name)
        if name.startswith(b'./'):
            name = name[2:]
        if not safe_name(name):
            problems.append((number, 'names a path outside the bundle'))
        elif sums.setdefault(name, match.group(2).decode('ascii')) != match.group(2).decode('ascii'):
            problems.append((number, 'gives a second sum for %s' % brief(name)))
    return sums, problems


def parse(raw: bytes) -> Any:
    """The value of a JSON file of a bundle (bytes). ValueError: not JSON, nested too deep, or of too many values for memory."""
    if raw.count(b',') + raw.count(b'[') + raw.count(b'{') > MAX_VALUES:
        raise ValueError('more than %d values' % MAX_VALUES)
    return jsonish.loads(raw)


def _content(root: safeio.Dir, name: bytes, check: _Check, limit: int = safeio.MAX_METADATA) -> Optional[bytes]:
    """The bytes of a file right in the bundle, None if it cannot be read (then `check` knows)."""
    try:
        return root.read(name, limit)
    except FileNotFoundError:
        check.lacking(name)
    except OSError as exc:
        check.wrong(name, 'cannot be read: %s' % exc.strerror)
    return None


def _read_sums(root: safeio.Dir, check: _Check) -> Dict[bytes, str]:
    raw = _content(root, SUMS, check, MAX_SUMS)
    if raw is None:
        return {}
    sums, problems = parse_sums(raw)
    for number, problem in problems:
        check.wrong(SUMS, 'line %d %s' % (number, problem))
    if raw and not raw.endswith(b'\n'):
        check.wrong(SUMS, 'ends in the middle of a line')
    if MANIFEST not in sums and not problems:
        check.wrong(SUMS, 'does not list manifest.json')
    return sums


def _read_manifest(root: safeio.Dir, check: _Check) -> Dict[str, Any]:
    """manifest.json as a dict; {} if it is missing or invalid (`check` reports that)."""
    raw = _content(root, MANIFEST, check, MAX_MANIFEST)
    if raw is None:
        return {}
    try:
        manifest = parse(raw)
    except ValueError as exc:
        check.wrong(MANIFEST, 'is not JSON: %s' % exc)
        return {}
    problem = _manifest_problem(manifest)
    if problem:
        check.wrong(MANIFEST, problem)
        return manifest if isinstance(manifest, dict) else {}
    return manifest


def _manifest_problem(manifest: Any) -> Optional[str]:
    if not isinstance(manifest, dict):
        return 'is not a JSON object'
    version = manifest.get('schema_version')
    if version not in SCHEMA_VERSIONS or not isinstance(version, int) or isinstance(version, bool):
        return ('has schema_version %s; this collection reads %s (use the version of the collection that wrote it, '
                'see "tool" in the manifest)' % (brief(version), ' and '.join(map(str, SCHEMA_VERSIONS))))
    if not isinstance(manifest.get('kind'), str) or manifest['kind'] not in KINDS:
        return 'has kind %s instead of one of %s' % (brief(manifest.get('kind')), ', '.join(KINDS))
    for key in ('components', 'mounts', 'problems'):
        value = manifest.get(key)
        if value is not None and not (isinstance(value, list) and all(isinstance(item, dict) for item in value)):
            return '%s is not a list of objects' % key
    for key in ('container', 'volume', 'source'):
        value = manifest.get(key)
        if value is not None and not isinstance(value, dict):
            return '%s is not an object' % key
    return None


def _component_problem(item: Any, files: Set[bytes], names: Set[Tuple[str, str]]) -> Optional[str]:
    """What is wrong with a component, None if nothing is. FILES and NAMES: those of the components before."""
    shown = brief(item.get('name'))
    name, kind = component_file(item), kind_of(item)
    if item.get('file') is not None and not isinstance(item['file'], str):
        return 'component %s has a file that is no text' % shown
    if name is None:
        return None
    if not safe_name(name):
        return 'component %s names a path outside the bundle' % shown
    if name in files:
        return 'has two components of the file %s' % brief(name)
    if kind in ARCHIVES:
        size = item.get('source_bytes')
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= LARGEST:
            return 'component %s does not say how large its content is (source_bytes)' % shown
        whose = (kind, component_name(item))
        if kind != 'bind' and whose in names:
            return 'has two archives of the %s %s' % (kind, brief(whose[1]))
        names.add(whose)
    files.add(name)
    return None


def _component_sizes(manifest: Dict[str, Any], sums: Dict[bytes, str], check: _Check) -> Dict[bytes, int]:
    """{file (bytes): size} of the manifest's components; compares their sums with SHA256SUMS."""
    sizes = {}
    files, names = set(), set()
    for item in components(manifest):
        problem = _component_problem(item, files, names)
        if problem:
            check.wrong(MANIFEST, problem)
            continue
        name = component_file(item)
        if name is None:
            continue
        if name not in sums:
            if sums:
                check.wrong(SUMS, 'does not list %s, which manifest.json names' % brief(name))
            continue
        if item.get('sha256') is not None and item['sha256'] != sums[name]:
            check.wrong(name, 'has one SHA-256 in manifest.json and another one in SHA256SUMS')
        if isinstance(item.get('bytes'), int) and not isinstance(item.get('parts'), dict):
            sizes[name] = item['bytes']  # with parts it is the sum of them
    return sizes


def _files(root: safeio.Dir, check: _Check) -> Iterator[Tuple[bytes, Optional[os.stat_result]]]:
    """Yield (name, stat) of everything below ROOT that is not a folder."""
    pending = [(b'', root)]
    while pending:
        prefix, folder = pending.pop()
        try:
            names = folder.names()
        except OSError as exc:
            check.wrong(prefix or b'.', 'cannot be listed: %s' % exc.strerror)
            continue
        for name in names:
            try:
                st = folder.stat(name)
                if stat.S_ISDIR(st.st_mode):
                    if prefix.count(b'/') >= MAX_DEEP:
                        check.wrong(prefix + name, 'lies deeper than anything in a bundle')
                    else:
                        pending.append((prefix + name + b'/', folder.child(name)))
                else:
                    yield prefix + name, st
            except OSError as exc:
                check.wrong(prefix + name, 'cannot be opened: %s' % exc.strerror)


def _check_file(root: safeio.Dir, name: bytes, expected: str, size: Optional[int], present: bool, verify: bool, check: _Check,
                seen: Optional[Dict[Any, Any]] = None) -> None:
    if not present:
        check.lacking(name)
        return
    try:
        fd = _open_below(root, name)
    except OSError as exc:
        check.wrong(name, 'cannot be opened: %s' % exc.strerror)
        return
    try:
        st = os.fstat(fd)
        check.marks[name] = _mark(st)
        actual = st.st_size
        if size is not None and actual != size:
            check.wrong(name, 'has %s instead of %d' % (wording.number(actual, 'byte'), size))
        elif actual > MANY and st.st_blocks * 512 < actual // 1000:
            # to read it would take hours, and cost whoever made it nothing
            check.wrong(name, 'has %s, nearly all of them holes: no rescue writes such a file' % wording.number(actual, 'byte'))
        elif verify and _sha256(fd, st, seen) != expected:
            check.wrong(name, 'has another SHA-256 than SHA256SUMS says')
    except OSError as exc:
        check.wrong(name, 'cannot be read: %s' % exc.strerror)
    finally:
        os.close(fd)


def _open_below(root: safeio.Dir, name: bytes) -> int:
    folder, dummy, last = name.rpartition(b'/')
    return root.descend(folder).open(last)


def _sha256(fd: int, st: os.stat_result, seen: Optional[Dict[Tuple[int, int, int, int], str]]) -> str:
    mark = (st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns) if seen is not None and st.st_nlink > 1 else None
    if mark is not None and seen is not None and mark in seen:
        return seen[mark]
    found = pieces.hashed(fd)[0].hexdigest()
    if mark is not None and seen is not None:
        seen[mark] = found
    return found
