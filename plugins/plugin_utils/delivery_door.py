"""The one door between a managed node and the controller: what a node says becomes a record here, or a ProtocolError.

A node may have been taken over. So each value has a type, a range and a set of characters, unknown keys are dropped, text for
people goes through wording.show(), and nothing that a node says is a path: the controller builds every path itself, from a
place of its own list, the name of the spool, a number and a digest. Files on the controller know these records only.
"""
from __future__ import annotations

import re
from typing import Any, Callable, NamedTuple, Optional

from ansible_collections.lifeboat.docker.plugins.module_utils.formats import wording
from ansible_collections.lifeboat.docker.plugins.module_utils.images import store as imagestore
from ansible_collections.lifeboat.docker.plugins.module_utils.records import model
from ansible_collections.lifeboat.docker.plugins.module_utils.transport import channel, frames, spool

BUNDLE_NAME = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.-]{0,229}\Z')
DIGEST = re.compile(r'[0-9a-f]{64}\Z')
BLOB_DIGEST = re.compile(r'sha256:[0-9a-f]{64}\Z')
SPOOL_NAME = re.compile(re.escape(spool.PREFIX) + r'[A-Za-z0-9_]{4,40}\Z')
MEDIA_TYPE = re.compile(r'[A-Za-z0-9][A-Za-z0-9.+/_-]{0,199}\Z')
ANNOTATION = re.compile(r'[A-Za-z0-9][A-Za-z0-9._/:@+-]{0,499}\Z')
CODE = re.compile(r'[A-Z0-9_]{1,64}\Z')
IMAGES = imagestore.NAME.decode()
RESERVED = re.compile(re.escape(IMAGES) + r'\Z|compose.*\.yaml\Z|.*\.until-\d{8}T\d{6}Z\Z')     # what lies beside the bundles of a host
MAX_NAMES = 100000                      # of one question
MAX_STEP = 8 << 20                      # bytes of one
MAX_NUMBER = (1 << 63) - 1
MAX_TEXT = 4000                         # characters for people
MAX_PROBLEMS = 2000
MAX_PARTS = 10000                       # files of one component


class ProtocolError(Exception):
    """The node sent an invalid message. The text says what is invalid, as part of a sentence; it can be printed as it is."""

    def __init__(self, what: str) -> None:
        super().__init__(wording.show(what)[:500])


# -- values ------------------------------------------------------------------------------------------------------------------------


def number(value: Any, what: str, most: int = MAX_NUMBER, least: int = 0) -> int:
    """VALUE, a whole number from LEAST to MOST. Raises ProtocolError."""
    if type(value) is not int or not least <= value <= most:  # pylint: disable=unidiomatic-typecheck
        raise ProtocolError(f'{what} is not a possible number')
    return value


def words(value: Any, what: str, most: int = MAX_TEXT) -> str:
    """VALUE, a text, as people may see it, cut after MOST characters. Raises ProtocolError."""
    if not isinstance(value, str):
        raise ProtocolError(f'{what} is no text')
    return shown(value[:most])[:2 * most]


def last_line(value: Any, what: str) -> str:
    """The last line of VALUE that is not empty, as people may see it. Raises ProtocolError."""
    if not isinstance(value, str):
        raise ProtocolError(f'{what} is no text')
    return words(next((line.strip() for line in reversed(value.splitlines()) if line.strip()), ''), what)


def shown(value: str) -> str:
    """VALUE as people may see it, half of a surrogate pair included, which JSON can carry and no file can."""
    return wording.show(value.encode('utf-8', 'backslashreplace').decode('utf-8'))


def flag(value: Any, what: str) -> bool:
    if not isinstance(value, bool):
        raise ProtocolError(f'{what} is neither true nor false')
    return value


def table(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ProtocolError(f'{what} is no object')
    return value


def several(value: Any, what: str, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise ProtocolError(f'{what} is not a list, or has more than {most} entries')
    return value


def matching(pattern: re.Pattern[str], value: Any, what: str) -> str:
    if not isinstance(value, str) or not pattern.match(value):
        raise ProtocolError(f'{str(value)[:80]!r} is no {what}')
    return value


def bundle_name(value: Any) -> str:
    """The name of a bundle's folder: one component, and none of those that lie beside bundles. Raises ProtocolError."""
    name = matching(BUNDLE_NAME, value, 'name of a bundle')
    if RESERVED.match(name):
        raise ProtocolError(f'{name!r} is no name of a bundle')
    return name


def file_name(value: Any) -> str:
    """The relative name of a file of a bundle, one that is none of our own. Raises ProtocolError."""
    if not frames.plain_name(value):
        raise ProtocolError(f'{str(value)[:80]!r} is no name of a file')
    return value


def digest(value: Any) -> str:
    return matching(DIGEST, value, 'SHA-256')


# -- the start and the steps ---------------------------------------------------------------------------------------------------------


class Started(NamedTuple):
    """A rescue that runs on the node. `spool`: its folder there, built here."""
    spool: str
    name: str
    place: str


class Chunk(NamedTuple):
    number: int
    size: int
    sha256: str


class Snapshot(NamedTuple):
    """How far the rescue is, see progress.Progress.snapshot()."""
    phase: str
    bundle: str
    component: str
    bytes: int
    total: int
    bundles: int
    of: int
    frozen: bool


class Step(NamedTuple):
    """The answer to one step, see spool.step()."""
    gone: bool = True
    alive: bool = False
    over: bool = False
    chunks: tuple[Chunk, ...] = ()
    state: Optional[Snapshot] = None
    said: str = ''                      # the last line of what it printed
    refused: str = ''
    probed: bool = False


def started(value: Any, places: list[str]) -> Started:
    """What the module said about its start. PLACES: the folders that the node was to choose from."""
    said = table(value, 'the start of the rescue')
    place = places[number(said.get('place'), 'the place of the spool', len(places) - 1)]
    name = matching(SPOOL_NAME, said.get('name'), 'name of a spool')
    return Started(f'{place.rstrip("/")}/{name}', name, place)


def step(line: str) -> Step:
    """One line of JSON from the node. Raises ProtocolError."""
    said = table(document(line.encode('utf-8', 'surrogateescape'), MAX_STEP), 'the answer to a step')
    chunks = [chunk(item) for item in several(said.get('chunks', []), 'the list of chunks', channel.MAX_LISTED)]
    if [item.number for item in chunks] != sorted({item.number for item in chunks}):
        raise ProtocolError('the numbers of the chunks are out of order')
    return Step(flag(said.get('gone'), 'gone'), flag(said.get('alive', False), 'alive'), flag(said.get('over', False), 'over'),
                tuple(chunks), snapshot(said.get('state')), last_line(said.get('said', ''), 'said'),
                words(said.get('refused', ''), 'refused'), flag(said.get('probed', False), 'probed'))


def chunk(value: Any) -> Chunk:
    """[number, size, SHA-256]."""
    if not isinstance(value, list) or len(value) != 3:
        raise ProtocolError('a chunk without number, size and digest')
    return Chunk(number(value[0], 'the number of a chunk', 99999999), number(value[1], 'the size of a chunk', channel.MAX_CHUNK, 1),
                 digest(value[2]))


def snapshot(value: Any) -> Snapshot | None:
    if value is None:
        return None
    said = table(value, 'the state')
    return Snapshot(words(said.get('phase'), 'phase', 300), words(said.get('bundle'), 'bundle', 300),
                    words(said.get('component'), 'component', 300), number(said.get('bytes'), 'bytes'),
                    number(said.get('total'), 'total'), number(said.get('bundles'), 'bundles'), number(said.get('of'), 'of'),
                    flag(said.get('frozen'), 'frozen'))


def document(raw: bytes, most: int = frames.MAX_MESSAGE) -> Any:
    """The value of a JSON document. Raises ProtocolError if it is not JSON, too large or too deep."""
    try:
        return frames.loads(raw, most)
    except frames.FrameError as exc:
        raise ProtocolError(str(exc)) from None


# -- the stream ------------------------------------------------------------------------------------------------------------------------


class Ask(NamedTuple):
    number: int
    names: tuple[str, ...]
    blobs: tuple[str, ...]


class Begin(NamedTuple):
    bundle: str


class Open(NamedTuple):
    bundle: str
    number: int
    file: str
    mark: Optional[str]
    skip: int


class Commit(NamedTuple):
    bundle: str
    number: int


class Abort(NamedTuple):
    bundle: str
    number: int


class Take(NamedTuple):
    """`whence`: which bundle has the file; see remote.py."""
    bundle: str
    whence: Optional[str]
    source: str
    file: str
    sha256: str


class Share(NamedTuple):
    bundle: str
    file: str
    sha256: str


class Index(NamedTuple):
    bundle: str
    documents: tuple[str, ...]
    descriptors: tuple[dict[str, Any], ...]


class Note(NamedTuple):
    """`records`: {component: its record}, to be kept for the next run; `files`: what they vouch for, {name: SHA-256}."""
    bundle: str
    records: dict[str, Any]
    files: dict[str, str]


class Drop(NamedTuple):
    bundle: str
    names: tuple[str, ...]


class Discard(NamedTuple):
    bundle: str


class Finish(NamedTuple):
    bundle: str


class End(NamedTuple):
    """One of the two: `result` rebuilt from what is known, or `error`, one sentence."""
    result: Optional[dict[str, Any]]
    error: Optional[str]


def message(value: dict[str, Any]) -> Any:
    """The record of one message of the stream. Raises ProtocolError."""
    work = OPERATIONS.get(value['op'])
    if work is None:
        raise ProtocolError(f'the message {value["op"][:80]!r}')
    return work(value)


def _ask(value: dict[str, Any]) -> Ask:
    names = several(value.get('names'), 'the list of bundles', MAX_NAMES)
    blobs = several(value.get('blobs') or [], 'the list of layers', MAX_NAMES)
    return Ask(number(value.get('number'), 'the number of a question'), tuple(bundle_name(item) for item in names),
               tuple(matching(BLOB_DIGEST, item, 'digest of a layer') for item in blobs))


def _open(value: dict[str, Any]) -> Open:
    mark = value.get('mark')
    return Open(bundle_name(value.get('bundle')), number(value.get('number'), 'the number of a file', (1 << 32) - 1),
                file_name(value.get('file')), None if mark is None else words(mark, 'the mark of a file'),
                number(value.get('skip'), 'skip'))


def _take(value: dict[str, Any]) -> Take:
    whence = value.get('whence')
    return Take(bundle_name(value.get('bundle')), whence if whence in (None, 'final', IMAGES) else bundle_name(whence),
                file_name(value.get('source')), file_name(value.get('file')), digest(value.get('sha256')))


def _share(value: dict[str, Any]) -> Share:
    found = Share(bundle_name(value.get('bundle')), file_name(value.get('file')), digest(value.get('sha256')))
    if found.file != 'image/' + imagestore.BLOBS + found.sha256:
        raise ProtocolError(f'{found.file!r} is no place for a layer')
    return found


def _index(value: dict[str, Any]) -> Index:
    return Index(bundle_name(value.get('bundle')),
                 tuple(file_name(item) for item in several(value.get('documents'), 'the documents of an image', 10)),
                 tuple(_descriptor(item) for item in several(value.get('descriptors'), 'the entries of an index', 1000)))


def _descriptor(value: Any) -> dict[str, Any]:
    """An entry of an OCI index with only the keys that the specification has."""
    said = table(value, 'an entry of an index')
    entry = {'mediaType': matching(MEDIA_TYPE, said.get('mediaType'), 'media type'),
             'digest': matching(BLOB_DIGEST, said.get('digest'), 'digest'), 'size': number(said.get('size'), 'the size of a document')}
    names = table(said.get('annotations') or {}, 'annotations')
    if len(names) > 20:
        raise ProtocolError('an entry of an index with too many annotations')
    names = {matching(ANNOTATION, key, 'annotation'): matching(ANNOTATION, item, 'annotation') for key, item in names.items()}
    return dict(entry, annotations=names) if names else entry


def _note(value: dict[str, Any]) -> Note:
    records = table(value.get('records'), '`records`')
    files: dict[str, str] = {}
    for record in records.values():
        files.update(vouched(table(record, 'a record')))
    return Note(bundle_name(value.get('bundle')), records, files)


def vouched(record: Any) -> dict[str, str]:
    """{relative name: SHA-256} of the files that a component's record stands for. Raises ProtocolError."""
    if not isinstance(record, dict):
        return {}
    pairs = [(record.get('file'), record.get('sha256')), (record.get('sums'), record.get('sums_sha256'))]
    parts = table(record.get('parts') or {}, 'the parts of a component')
    if len(parts) > MAX_PARTS:
        raise ProtocolError('a component of too many files')
    return {file_name(file): digest(value) for file, value in pairs + list(parts.items()) if file and value is not None}


def _drop(value: dict[str, Any]) -> Drop:
    return Drop(bundle_name(value.get('bundle')),
                tuple(file_name(item) for item in several(value.get('names'), '`names`', MAX_NAMES)))


def _end(value: dict[str, Any]) -> End:
    if isinstance(value.get('error'), dict):
        return End(None, words(value['error'].get('msg'), 'the message of a failure'))
    return End(result(value.get('result')), None)


OPERATIONS: dict[str, Callable[[dict[str, Any]], Any]] = {
    'ask': _ask, 'begin': lambda value: Begin(bundle_name(value.get('bundle'))), 'open': _open,
    'commit': lambda value: Commit(bundle_name(value.get('bundle')), number(value.get('number'), 'the number of a file')),
    'abort': lambda value: Abort(bundle_name(value.get('bundle')), number(value.get('number'), 'the number of a file')),
    'take': _take, 'share': _share, 'index': _index, 'note': _note, 'drop': _drop,
    'discard': lambda value: Discard(bundle_name(value.get('bundle'))),
    'finish': lambda value: Finish(bundle_name(value.get('bundle'))), 'end': _end}


# -- results ---------------------------------------------------------------------------------------------------------------------------

# What a result may have, and nothing else reaches a play: a node cannot set facts through it. Each value may also be null.
Shape = dict[str, Callable[[Any, str], Any]]


def _one_of(*allowed: str) -> Callable[[Any, str], str]:
    def check(value: Any, what: str) -> str:
        if value not in allowed:
            raise ProtocolError(f'{what} is {str(value)[:40]!r}')
        return value
    return check


def _texts(value: Any, what: str) -> list[str]:
    return [words(item, what) for item in several(value, what, 100)]


COMPONENT: Shape = {'name': words, 'kind': words, 'file': words, 'bytes': number, 'entries': number, 'status': _one_of(*model.STATUSES),
                    'sha256': lambda value, dummy: digest(value)}
# of the kind dump
COMPONENT.update({key: words for key in ('engine', 'version', 'data_path')}, tables=number, rows=number, marks=_texts, missing=_texts)
PROBLEM: Shape = {'code': lambda value, dummy: matching(CODE, value, 'code of a problem'), 'object': words, 'message': words,
                  'next_step': words, 'severity': _one_of(model.CRITICAL, model.WARNING, model.INFO), 'loses_data': flag,
                  'blocks_start': flag}
LEFT: Shape = {key: number for key in ('binds', 'volumes', 'layers', 'images')}
LEFT.update(names=lambda value, what: [words(item, what) for item in several(value, what, 100)])
BUNDLE: Shape = {'path': words, 'path_b64': words, 'name': lambda value, dummy: bundle_name(value), 'kind': words, 'container': words,
                 'id': words, 'image': words, 'engine': words, 'status': _one_of(*model.STATUSES), 'changed': flag, 'bytes': number,
                 'files': number, 'components': lambda value, what: [shaped(item, COMPONENT, what) for item in several(value, what, 1000)],
                 'problems': lambda value, what: [shaped(item, PROBLEM, what) for item in several(value, what, 100)]}
SUMMARY: Shape = {key: number for key in ('bundles', 'written', 'complete', 'partial', 'lost', 'unsupported', 'bytes', 'problems')}
SUMMARY.update(worst=words, left_behind=lambda value, what: shaped(value, LEFT, what),
               next_steps=lambda value, what: [words(item, what) for item in several(value, what, 10)])
ROW: Shape = {key: words for key in ('project', 'service', 'container', 'what', 'name', 'file', 'ran')}
DEPLOYMENT: Shape = {key: number for key in ('deployments', 'files', 'archives', 'compared', 'differences_total', 'undecided_total', 'left_out')}
DEPLOYMENT.update(differences=lambda value, what: [shaped(item, ROW, what) for item in several(value, what, 1000)],
                  undecided=lambda value, what: [words(item, what) for item in several(value, what, 1000)])
RESULT: Shape = {'bundles': lambda value, what: [shaped(item, BUNDLE, what) for item in several(value, what, MAX_NAMES)],
                 'problems': lambda value, what: [shaped(item, PROBLEM, what) for item in several(value, what, MAX_PROBLEMS)],
                 'summary': lambda value, what: shaped(value, SUMMARY, what), 'changed': flag,
                 'compose': lambda value, what: [words(item, what) for item in several(value, what, 10000)],
                 'deployment': lambda value, what: shaped(value, DEPLOYMENT, what)}


def shaped(value: Any, shape: Shape, what: str) -> dict[str, Any]:
    """The keys of SHAPE that VALUE (an object) has, each checked; null stays. Raises ProtocolError."""
    said = table(value, what)
    return {key: None if said[key] is None else check(said[key], f'{key} of {what}') for key, check in shape.items() if key in said}


def result(value: Any) -> dict[str, Any]:
    """The result of a rescue, rebuilt: `bundles`, `problems`, `summary` and `changed` are always there."""
    found = shaped(value, RESULT, 'the result')
    for key, empty in (('bundles', []), ('problems', []), ('summary', {}), ('changed', False)):
        if found.get(key) is None:
            found[key] = empty
    for item in found['bundles']:
        if not item.get('name') or not item.get('status'):
            raise ProtocolError('a bundle without name or status')
    return found


# -- what Ansible's own code brings from a node ----------------------------------------------------------------------------------


def harmless(value: Any, level: int = 0) -> Any:
    """A copy of JSON with every text as people may see it, a diff's lines included. Raises ProtocolError for more than 12 levels."""
    if level > 12:
        raise ProtocolError('a result of too many levels')
    if isinstance(value, str):
        return '\n'.join(shown(line) for line in value.split('\n'))
    if isinstance(value, dict):
        return {shown(str(key)): harmless(item, level + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [harmless(item, level + 1) for item in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    raise ProtocolError(f'a result with a {type(value).__name__}')


def warnings(value: Any) -> list[str]:
    """The texts of a result's `warnings`. Since ansible-core 2.19 they are objects of its own, also what it says itself of a discovered Python."""
    return [said for said in map(_said_of, value if isinstance(value, (list, tuple)) else ()) if said]


def deprecations(value: Any) -> list[dict[str, Any]]:
    """The same for `deprecations`, as Ansible takes them: what is said, the version and the date of the end."""
    found = []
    for item in value if isinstance(value, (list, tuple)) else ():
        said = _said_of(item)
        if said:
            about = [(name, item.get(name) if isinstance(item, dict) else getattr(item, name, None)) for name in ('version', 'date')]
            found.append({'msg': said, **{name: shown(text) for name, text in about if isinstance(text, str)}})
    return found


def _said_of(item: Any) -> str:
    """The text of one of both, '' where there is none."""
    said = item.get('msg') if isinstance(item, dict) else item if isinstance(item, str) else getattr(getattr(item, 'event', None), 'msg', None)
    return str(harmless(said)) if isinstance(said, str) else ''


def user_id(said: str) -> int | None:
    """The first line of `id -u`; None where there is none."""
    for word in said.split():
        if re.match(r'[0-9]{1,10}\Z', word):
            return int(word)
    return None
