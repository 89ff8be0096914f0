"""A project of Compose: its files read with variables, and everything they name taken: env files, Dockerfiles, build contexts, files that
are extended or included, secrets and configs that are files."""
import posixpath
from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple

from ..formats import variables, yamlread
from ..formats.values import as_dict, as_list
from ..formats.variables import EnvFile, Lookup, Text, Undecided
from ..formats.wording import show
from . import service as services
from .collection import Collection, shown
from .door import elsewhere
from .model import COMPOSE, CONFIG, DOCKERFILE, ENV_FILE, SECRET, TOO_LARGE, UNKNOWN, NotTaken, Place, Stack, note

DEEPEST = 5                             # of include and extends
MOST_FILES = 100                        # compose files of one project
MOST_VALUES = 200000                    # variables, ports and mounts of all its services
TAGS = ('!reset', '!override')          # of Compose 2.24 and later
LAYOUT = 'oci-layout://'
BESIDE = (b'.env', b'Dockerfile', b'compose.override.yaml', b'compose.override.yml', b'docker-compose.override.yml', b'docker-compose.override.yaml')


class Document(NamedTuple):
    """One compose file, with its variables replaced. `folder`: that its relative paths are relative to, as Compose saw it; `base`: the same
    on the dead host."""
    place: Place
    content: Dict[str, Any]
    folder: str
    base: bytes
    lookup: Lookup


class Project(NamedTuple):
    """`unread`: clauses on compose files that could not be read: nothing is compared then."""
    name: str
    services: Dict[str, services.Service]
    volumes: Dict[str, Any]
    networks: Dict[str, Any]
    secrets: Dict[str, Text]            # key: path of the file, of those that are files
    configs: Dict[str, Text]
    unread: Tuple[str, ...] = ()


class Reader(object):
    """Reads the files of one Stack into COLLECTION."""

    def __init__(self, collection: Collection, stack: Stack) -> None:
        self.collection, self.door, self.stack = collection, collection.door, stack
        self.documents: List[Document] = []
        self.unread: List[str] = []
        self._env: Dict[Tuple[bytes, int], Any] = {}    # by file, and by what its variables are replaced from
        self._seen: Set[bytes] = set()
        self._extended: Dict[bytes, Optional[Document]] = {}
        self._values_left = MOST_VALUES

    def project(self) -> Project:
        stack = self.stack
        lookup = self._variables()
        for place in stack.compose:
            self._read(place, stack.folder, stack.base, lookup, 0)
        for document in self.documents:
            self._references(document)
        return Project(stack.project or stack.name, self._services(), self._section('volumes'), self._section('networks'),
                       self._files_of('secrets'), self._files_of('configs'), tuple(self.unread))

    # -- variables ----------------------------------------------------------------------------------------------------------

    def _variables(self) -> Lookup:
        """What ${NAME} means: what a program hands over, then the project's env files."""
        stack = self.stack
        given: Dict[str, Text] = dict(stack.env)
        given.setdefault('COMPOSE_PROJECT_NAME', stack.project or stack.name)
        home = stack.compose[0].home if stack.compose else None
        places = stack.env_files
        if places is None:
            beside = self.door.maybe(b'.env', stack.base, home) if stack.base else None
            places = (beside,) if beside is not None else ()
        return self._layered(given, places)

    def _layered(self, given: Dict[str, Text], places: Tuple[Place, ...]) -> Lookup:
        """A Lookup of GIVEN, and of env files, of which the last one counts."""
        values: Dict[str, Text] = {}
        for place in places:
            found = self._env_file(place, lambda name: given.get(name, values.get(name)))
            values.update(found.values if found is not None else {})
        values.update(given)
        return values.get

    def _env_file(self, place: Place, lookup: Lookup) -> Optional[EnvFile]:
        """A file of variables, taken."""
        data = self.collection.take(place, ENV_FILE, self._by())
        return None if data is None else variables.env_file(data, lookup)

    def _by(self) -> str:
        return '%s %s' % (self.stack.kind, show(self.stack.name))

    # -- compose files ------------------------------------------------------------------------------------------------------

    def _read(self, place: Place, folder: str, base: bytes, lookup: Lookup, depth: int) -> Optional[Document]:
        """Read a compose file and those that it includes."""
        if place.path in self._seen:
            return None
        if depth > DEEPEST or len(self._seen) >= MOST_FILES:
            self._too_many(place)
            return None
        self._seen.add(place.path)
        document = self._parse(place, folder, base, lookup)
        if document is None:
            return None
        for item in as_list(document.content.get('include')):
            self._include(document, item, depth)
        self.documents.append(document)
        return document

    def _too_many(self, place: Place) -> None:
        why = 'more than %d files, or %d below each other, are included or extended' % (MOST_FILES, DEEPEST)
        self.collection.leave(note(place.path, NotTaken(TOO_LARGE, why), self._by()))
        self.unread.append('%s is left out: %s' % (shown(place), why))

    def _parse(self, place: Place, folder: str, base: bytes, lookup: Lookup) -> Optional[Document]:
        data = self.collection.take(place, COMPOSE, self._by())
        if data is None:
            self.unread.append('%s is left out' % shown(place))
            return None
        try:
            value, tagged = yamlread.loads_tagged(data.decode('utf-8'), TAGS)
            if not isinstance(value, dict):
                raise yamlread.YamlError(1, 'no mapping')
        except (UnicodeDecodeError, yamlread.YamlError) as exc:
            self.unread.append('%s is not read: %s' % (shown(place), show(exc)))
            self.collection.leave(note(place.path, NotTaken(UNKNOWN, 'it is taken, and what it names is not, since it is not understood: %s' % show(exc)),
                                       self._by()))
            self._beside(place)
            return None
        if tagged:                      # what it names is taken; how it is laid over the files before it is not followed here
            self.unread.append('%s uses %s' % (shown(place), ' or '.join(TAGS)))
        return Document(place, services.interpolated(value, lookup), folder, base, lookup)

    def _beside(self, place: Place) -> None:
        """What usually belongs to a compose file, where it cannot be read."""
        for name, found in self.door.beside(posixpath.dirname(place.path), BESIDE, place.home).items():
            self.collection.take(found, DOCKERFILE if name == b'Dockerfile' else ENV_FILE if name == b'.env' else COMPOSE, self._by())

    def _include(self, document: Document, item: Any, depth: int) -> None:
        entry = item if isinstance(item, dict) else {'path': item}
        remote = [path for path in _texts(entry.get('path')) if elsewhere(path) is not None]
        if remote:                      # of a registry or a repository
            self._is_elsewhere(document, remote[0])
            self.unread.append('%s includes %s' % (shown(document.place), show(remote[0])))
            return
        places = [self._find(document, path) for path in _texts(entry.get('path'))]
        if not places or places[0] is None or any(place is None for place in places):
            self.unread.append('an include of %s is left out' % shown(document.place))
        if not places or places[0] is None:
            return
        first = places[0]
        base = posixpath.dirname(first.path)
        folder = self._beyond(document, base)
        directory = services.text_of(entry.get('project_directory'))
        if directory:
            try:
                folder, base = posixpath.join(document.folder, directory), self.door.absolute(directory, document.base)
            except NotTaken:
                self.unread.append('an include of %s has a folder that is none' % shown(document.place))
        beside = self.door.maybe(b'.env', base, first.home)
        files = [self._find(document, path) for path in _texts(entry.get('env_file'))] or [beside]
        lookup = self._layered(self._given(document), tuple(place for place in files if place is not None))
        for place in places:
            if place is not None:
                self._read(place, folder, base, lookup, depth + 1)

    def _given(self, document: Document) -> Dict[str, Text]:
        """Variables of the project, which count more than those beside an included file."""
        names = set(self.stack.env)
        for place in self.stack.env_files or ():
            names.update(name for name in self._names(place))
        beside = self.door.maybe(b'.env', self.stack.base, document.place.home) if self.stack.base else None
        names.update(self._names(beside) if beside is not None else ())
        found: Dict[str, Text] = {}
        for name in names:
            value = document.lookup(name)
            if value is not None:
                found[name] = value
        return found

    def _names(self, place: Place) -> List[str]:
        found = self._env_file(place, variables.nothing_set)
        return list(found.values) if found is not None else []

    def _beyond(self, document: Document, base: bytes) -> str:
        """The folder BASE of the dead host as Compose saw it."""
        if document.folder and document.base and base != document.base:
            return posixpath.join(document.folder, posixpath.relpath(base, document.base).decode('utf-8', 'surrogateescape'))
        return document.folder or base.decode('utf-8', 'surrogateescape')

    def _find(self, document: Document, path: str) -> Optional[Place]:
        try:
            return self.door.find(path, document.base, document.place.home)
        except NotTaken as exc:
            self.collection.leave(note(path, exc, shown(document.place)))
            return None

    # -- what the files name ------------------------------------------------------------------------------------------------

    def _references(self, document: Document) -> None:
        for name, value in as_dict(document.content.get('services')).items():
            for reference in services.env_references(as_dict(value).get('env_file'), []):
                self._env_reference(document, reference)
            self._build(document, name, as_dict(value).get('build'))
            for path in _texts(as_dict(value).get('label_file')):
                self._take(document, path, CONFIG)
            self._extends_file(document, as_dict(value).get('extends'))
        for section, role in (('secrets', SECRET), ('configs', CONFIG)):
            for value in as_dict(document.content.get(section)).values():
                path = services.text_of(as_dict(value).get('file'))
                if path:
                    self._take(document, path, role)

    def _take(self, document: Document, path: str, role: str) -> Optional[bytes]:
        return self.collection.take_named(path, document.base, document.place.home, role, shown(document.place))

    def _env_reference(self, document: Document, reference: services.EnvReference) -> None:
        if isinstance(reference.path, Undecided) or not reference.path:
            return
        if reference.required or self.door.maybe(reference.path, document.base, document.place.home) is not None:
            self._take(document, reference.path, ENV_FILE)

    def _is_elsewhere(self, document: Document, text: str) -> bool:
        """Is TEXT no place of this host? It is noted then."""
        refused = elsewhere(text)
        if refused is not None:
            self.collection.leave(note(text, refused, shown(document.place)))
        return refused is not None

    def _build(self, document: Document, name: str, value: Any) -> None:
        about = value if isinstance(value, dict) else {'context': value}
        for key, text in _pairs(about.get('additional_contexts')):
            if text.startswith(LAYOUT):
                text = text[len(LAYOUT):]
            # others are images and services
            elif text.startswith(('docker-image:', 'service:', 'target:')) or self._is_elsewhere(document, text):
                text = ''
            if text:
                place = self._find(document, text)
                if place is not None:
                    self.collection.take_tree(place, '%s-%s-%s' % (self.stack.project or self.stack.name, name, key), shown(document.place))
        context = services.text_of(about.get('context')) or ('.' if isinstance(value, dict) else '')
        if not context or self._is_elsewhere(document, context):
            return
        place = self._find(document, context)
        if place is None:
            return
        dockerfile = services.text_of(about.get('dockerfile')) or 'Dockerfile'
        if not about.get('dockerfile_inline'):
            self.collection.take_named(dockerfile, place.path, place.home or document.place.home, DOCKERFILE, shown(document.place))
        self.collection.take_tree(place, '%s-%s' % (self.stack.project or self.stack.name, name), shown(document.place))

    def _extends_file(self, document: Document, value: Any) -> None:
        path = services.text_of(as_dict(value).get('file'))
        if path:
            self._take(document, path, COMPOSE)

    # -- services -----------------------------------------------------------------------------------------------------------

    def _section(self, section: str) -> Dict[str, Any]:
        found: Dict[str, Any] = {}
        for document in self.documents:
            for key, value in as_dict(document.content.get(section)).items():
                found[key] = dict(as_dict(found.get(key)), **as_dict(value))
        return found

    def _files_of(self, section: str) -> Dict[str, Text]:
        found: Dict[str, Text] = {}
        for document in self.documents:
            for key, value in as_dict(document.content.get(section)).items():
                path = services.scalar(as_dict(value).get('file'))
                if isinstance(path, str):
                    found[key] = services.clean_path(posixpath.join(document.folder, path)) if document.folder else Undecided(
                        'the folder of the project is not known')
                elif path is not None:
                    found[key] = path
        return found

    def _services(self) -> Dict[str, services.Service]:
        found: Dict[str, services.Service] = {}
        for document in self.documents:
            for name, value in as_dict(document.content.get('services')).items():
                if self._values_left < 0:
                    return dict(found, **{name: services.Service(undecided=('the project has more than %d values' % MOST_VALUES,))})
                made = self._with_env(document, self._service(document, value, 0))
                self._values_left -= len(made.environment) + len(made.from_files) + len(made.ports) + len(made.mounts)
                found[name] = services.over(found[name], made) if name in found else made
        return found

    def _service(self, document: Document, value: Any, depth: int) -> services.Service:
        """The Service of a mapping, with those that it extends."""
        made = services.service(value, document.folder)
        extends = as_dict(value).get('extends')
        if extends in (None, ''):
            return made
        name = services.text_of(extends['service'] if isinstance(extends, dict) and 'service' in extends else extends)
        source: Optional[Document] = document
        path = services.text_of(as_dict(extends).get('file'))
        if path:
            place = self._find(document, path)
            source = self._extended_file(document, place) if place is not None else None
        known = as_dict(source.content.get('services')) if source is not None else {}
        if source is None or name not in known or depth > DEEPEST:
            return made._replace(undecided=made.undecided + ('the service that it extends was not found',))
        return services.over(self._with_env(source, self._service(source, known[name], depth + 1)), made)

    def _extended_file(self, document: Document, place: Place) -> Optional[Document]:
        """The file of a service that another one extends, read once; what it names is taken too."""
        if place.path not in self._extended:
            self._extended[place.path] = None
            if len(self._extended) > MOST_FILES:
                self._too_many(place)
                return None
            base = posixpath.dirname(place.path)
            found = self._parse(place, self._beyond(document, base), base, document.lookup)
            self._extended[place.path] = found
            if found is not None:
                self._references(found)
        return self._extended[place.path]

    def _with_env(self, document: Document, made: services.Service) -> services.Service:
        """The same with the variables of its env files; names without a value get that of the project."""
        values = dict(made.from_files)  # of the service that it extends
        own = dict(made.environment)
        undecided = list(made.undecided)
        for reference in made.env_files:
            found = self._values(document, reference)
            if isinstance(found, Undecided):
                undecided.append('env_file: %s' % found.why)
            else:
                values.update(found.values)
                values.update((name, None) for name in found.inherited)
        for table in (values, own):
            for name, value in table.items():
                if value is None:
                    known = document.lookup(name)
                    table[name] = Undecided('its value comes from the shell that called Compose') if known is None else known
        return made._replace(environment=own, from_files=values, env_files=(), undecided=tuple(undecided))

    def _values(self, document: Document, reference: services.EnvReference) -> Any:
        """EnvFile or Undecided of one env file of a service."""
        if isinstance(reference.path, Undecided):
            return reference.path
        place = self.door.maybe(reference.path, document.base, document.place.home)
        if place is None:
            return Undecided('%s is missing' % show(reference.path)) if reference.required else EnvFile({})
        key = (place.path, id(document.lookup))
        if key not in self._env:
            try:
                self._env[key] = variables.env_file(self.door.read(place), document.lookup)
            except NotTaken as exc:
                self._env[key] = Undecided('%s: %s' % (show(reference.path), exc.why))
        found = self._env[key]
        if isinstance(found, Undecided):
            return found
        if reference.raw and found is not None and any('$' in str(value) or '"' in str(value) for value in found.values.values()):
            return Undecided('%s has the format raw' % show(reference.path))
        return found if found is not None else Undecided('%s is no env file' % show(reference.path))


def _pairs(value: Any) -> List[Tuple[str, str]]:
    """(name, text) of a mapping, or of a list of NAME=TEXT."""
    found = [(name, services.text_of(item)) for name, item in value.items()] if isinstance(value, dict) else [
        item.partition('=')[::2] for item in _texts(value)]
    return [(name, text) for name, text in found if text]


def _texts(value: Any) -> List[str]:
    """The texts of a list, or a lone text."""
    found = [services.text_of(item) for item in (value if isinstance(value, list) else [value])]
    return [item for item in found if item]
