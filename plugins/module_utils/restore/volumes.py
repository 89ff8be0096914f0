"""Data into volumes of a running engine, in one of two ways.

`direct`: into the folder that the engine gives as the volume's Mountpoint, in our own file system or, if the engine
works in another mount namespace, below /proc/<its pid>/root. Only where it is proved that this path is the engine's own
(a volume made for the proof appears there), the engine does not shift owners, and the volume is a plain folder. Keeps
everything and is fastest.

`api`: as a tar stream through a container that is created for this and never started. Works with remote engines,
user namespaces and volume drivers. The engine writes holes as zeros.

While a volume is being filled something beside its data says so, for whoever finds it after a crash: a file in the
volume's own folder (direct), or the container (api).
"""
import collections
import os
import stat
import tempfile
import time
import uuid
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple, Union

from ..archive import compress, removal, tarread, unpack
from ..bundles import reading
from ..disk.errors import LifeboatError
from ..formats import pieces
from ..formats.wording import number, raw, show
from ..transport import inbox
from . import awaylinks, databases, labels, podmancli, podmanvolumes, target
from .engineapi import Engine, EngineError

LABEL = 'lifeboat.docker.restored'      # of a volume: SHA-256 of the archive that it was made from
FILL_LABEL = 'lifeboat.docker.filling'  # of the container that fills a volume: its name
MARK = b'.lifeboat-filling'
DONE = b'.lifeboat-done'                # beside the data: the same as LABEL, for volumes that existed already
ASIDE = b'.lifeboat-before'
PLACE = '/lifeboat-place'                # of a volume in a helper container; some engines put it before names
EMPTY_IMAGE = 'lifeboat-empty:%s'
EMPTY_IMAGE_OF_PODMAN = 'localhost/' + EMPTY_IMAGE
DIRECT = 'direct'
API = 'api'
UNKNOWN = None
NOT_HERE = "the engine's folders cannot be reached on this machine"
MAX_HOLES = 10 << 30                    # bytes of zeros that the API way may write for holes


class Volumes(object):
    """Access to the volumes of one engine. Close it: it removes what it made for its own use.

    PASSIVE (check mode): nothing is made on the engine, not even for a moment; what cannot be seen so is unknown.
    """

    def __init__(self, engine: Engine, info: Dict[str, Any], passive: bool = False, fallback_image: Optional[str] = None) -> None:
        self.engine = engine
        self.info = info
        self.passive = passive
        self.fallback_image = fallback_image    # of helper containers, where the engine can't import an empty one
        self._proof: Optional[Tuple[Optional[str], str]] = None
        self._prefix = ''               # of the engine's paths as seen from here
        self._helper_image: Optional[str] = None

    def close(self) -> None:
        if self._helper_image and self._helper_image != self.fallback_image:
            try:
                self.engine.remove('/images/%s' % self._helper_image)
            except EngineError:
                pass
            self._helper_image = None

    # --- which way

    def way(self, volume: Optional[Mapping[str, Any]] = None) -> Tuple[Optional[str], str]:
        """(DIRECT or API, why) for a volume (the engine's record of it) or for any plain one. PASSIVE: may be UNKNOWN."""
        if self._proof is None:
            self._proof = self._prove()
        if volume is not None and self._proof[0] == DIRECT:
            if volume.get('Driver') != 'local' or volume.get('Options'):
                return API, 'the volume is kept by a driver or mounted with options'
            if not _is_ours(self._prefix + (volume.get('Mountpoint') or '')):
                return API, 'its Mountpoint is not a folder on this machine'
        return self._proof

    def _prove(self) -> Tuple[Optional[str], str]:
        if not self.engine.docker_host.startswith('unix:'):
            return API, 'the engine is reached over the network'
        if os.geteuid() != 0:
            return API, 'only root may write into the folders of volumes'
        for option in self.info.get('SecurityOptions') or []:
            for name in ('userns', 'rootless'):
                if 'name=' + name in str(option):
                    return API, 'the engine shifts owners (%s)' % name
        if self.info.get('Rootless') is True:      # Podman says it here only
            return API, 'the engine shifts owners (rootless)'
        if self.passive:
            return self._guess()
        name = 'lifeboat-probe-' + uuid.uuid4().hex
        made = self.engine.create_volume(name)
        try:
            place = made.get('Mountpoint') or ''
            if os.path.basename(os.path.dirname(place)) == name:
                for prefix in self._prefixes():
                    if _is_ours(prefix + place):
                        self._prefix = prefix
                        return DIRECT, 'its folders are on this machine'
            return API, NOT_HERE
        finally:
            self.engine.remove('/volumes/%s' % name)

    def _prefixes(self) -> List[str]:
        """Where the engine's '/' may be seen: ours, and that of the process behind the socket."""
        pid = self.engine.peer()
        return [''] + (['/proc/%d/root' % pid] if pid else [])

    def place(self, volume: Mapping[str, Any]) -> bytes:
        """The folder of a volume's data as seen from here (bytes); DIRECT only."""
        return raw(self._prefix + volume['Mountpoint'])

    def _spot(self, volume: Mapping[str, Any]) -> target.Place:
        """The same as a target.Place. The engine's folder of all volumes is trusted, one volume's must be root's own."""
        above, name = os.path.split(self.place(volume))
        base, parent = os.path.split(above)
        return target.Place(base, parent, name)

    def _guess(self) -> Tuple[Optional[str], str]:
        """Without making a volume: are the engine's local volumes, all of them, in the folder where it says?"""
        known = [item for item in (self.engine.request('GET', '/volumes') or {}).get('Volumes') or []
                 if item.get('Driver') == 'local']
        if not known:
            return self._by_engine_id()
        names = set(item['Name'] for item in known)
        for prefix in self._prefixes():
            folder = prefix + os.path.dirname(os.path.dirname(known[0].get('Mountpoint') or ''))
            if all(_is_ours(prefix + (item.get('Mountpoint') or '')) for item in known) and names == set(
                    name for name in os.listdir(folder) if os.path.isdir(os.path.join(folder, name))):
                self._prefix = prefix
                return DIRECT, 'its folders are on this machine'
        return API, NOT_HERE

    def _by_engine_id(self) -> Tuple[Optional[str], str]:
        """Engines from 23.0 on keep their random id in their data root too."""
        root, ident = self.info.get('DockerRootDir'), self.info.get('ID')
        if not isinstance(root, str) or not isinstance(ident, str) or not ident:
            return UNKNOWN, 'this is found out by a real run'
        for prefix in self._prefixes():
            try:
                with open(os.path.join(prefix + root, 'engine-id'), 'rb') as handle:
                    same = handle.read(200).strip() == ident.encode('utf-8')
            except OSError:
                continue
            if same and _is_ours(prefix + root):
                self._prefix = prefix
                return DIRECT, 'its folders are on this machine'
        return UNKNOWN, 'this is found out by a real run'

    # --- looking

    def users(self, name: str) -> List[Dict[str, Any]]:
        """Containers that refer to a volume, [{'name', 'id', 'running', 'filling'}]."""
        found = []
        for item in self.engine.containers({'volume': [name]}):
            labels = item.get('Labels') or {}
            found.append({'name': ((item.get('Names') or ['']) or [''])[0].lstrip('/'), 'id': item.get('Id'),
                          'running': item.get('State') in ('running', 'paused', 'restarting'),
                          'filling': labels.get(FILL_LABEL) == name})
        return found

    def unfinished(self, volume: Mapping[str, Any]) -> bool:
        """True if a run of ours was killed while it filled this volume."""
        if self.way(volume)[0] == DIRECT:
            with self._spot(volume).folder() as folder:
                return bool(target.kind_of(MARK, folder))
        return any(user['filling'] for user in self.users(volume['Name']))

    def restored_from(self, volume: Mapping[str, Any]) -> Optional[str]:
        """SHA-256 of the archive that the volume was made from, as far as it is known; None if it was not."""
        if self.way(volume)[0] == DIRECT:
            with self._spot(volume).folder() as folder:
                digest = target.read_note(DONE, folder)
            if digest:
                return digest[:64].decode('ascii', 'replace')
        return (volume.get('Labels') or {}).get(LABEL)

    def plain(self, volume: Mapping[str, Any]) -> bool:
        """True if nothing tells the volume from one that is made anew."""
        return volume.get('Driver') == 'local' and not volume.get('Options') and not volume.get('Labels')

    def content(self, volume: Mapping[str, Any], limit: int = 10) -> Optional[List[str]]:
        """A few names of what is in a volume; [] if it is empty, None if that cannot be seen (PASSIVE)."""
        if self.way(volume)[0] != DIRECT and self.passive:
            return None
        if self.way(volume)[0] == DIRECT:
            spot = self._spot(volume)
            with spot.folder() as folder:
                return [show(name) for name in target.names_in(spot.name, folder)[:limit]]
        helper = self._helper(volume['Name'], looking=True)
        try:
            stream = self.engine.get_archive(helper, PLACE + '/.')
            names = []
            try:
                for member in tarread.Reader(stream, 'the volume'):
                    # the engine names them '.', './a' or 'lifeboat/a', by its version
                    name = member.name[len(PLACE):] if member.name.startswith(PLACE[1:].encode() + b'/') else member.name
                    first = name.split(b'/')[0]
                    if first and first != PLACE[1:].encode() and show(first) not in names:
                        names.append(show(first))
                    if len(names) >= limit:
                        break
            finally:
                stream.close()
            return sorted(names)
        finally:
            self._drop(helper)

    def replaceable(self, volume: Mapping[str, Any]) -> bool:
        """Can set_aside() move the content of this volume away?"""
        return self.way(volume)[0] == DIRECT or not self.engine.podman or podmancli.command(self.engine, volume) is not None

    # --- writing

    def fill(self, volume: Mapping[str, Any], archive: 'pieces.Readable', what: str, digest: str, limit: Optional[int] = None,
             max_holes: int = MAX_HOLES, allow_devices: bool = False) -> Dict[str, Any]:
        """Put an archive (open_archive(), of this SHA-256) into an empty volume -> dict for the result.

        Raises ArchiveError, EngineError or OSError; then the volume has a part of it and its mark.
        """
        way, why = self.way(volume)
        notes = podmanvolumes.settle(self, volume, PLACE) if self.engine.podman else []
        if way == DIRECT:
            spot = self._spot(volume)
            with spot.folder() as folder:
                target.write_note(MARK, b'', folder)
                data = target.opened_folder(spot.name, folder)
                try:
                    done = unpack.unpack(archive, data, what, allow_devices, limit, label=labels.kept())
                    found = databases.find(data) if done.telling else []
                finally:
                    os.close(data)
                if (volume.get('Labels') or {}).get(LABEL) != digest:
                    target.write_note(DONE, digest.encode('ascii'), folder)
                else:
                    target.drop_note(DONE, folder)
                target.drop_note(MARK, folder)
            notes.extend(done.notes)
            if done.notes_total > len(notes):
                notes.append('%d more attributes of %s could not be kept.' % (done.notes_total - len(notes), what))
            return {'way': way, 'why': why, 'entries': done.entries, 'files': done.files, 'bytes': done.bytes,
                    'notes': notes, 'databases': found}
        helper = self._helper(volume['Name'])
        folder = os.fsencode(tempfile.mkdtemp(prefix='lifeboat-'))
        try:
            passing = Passing(archive, what, folder, limit, max_holes, allow_devices, self.engine.podman)
            self.engine.put_archive(helper, PLACE, iter(passing))
            if passing.away:
                self._links_out(helper, passing.away, what)
            found = databases.find(folder)
            if self.engine.podman:
                notes.extend(podmanvolumes.check_owners(self, volume, passing.sample))
            if passing.sparse:
                notes.append('%s: the holes of %s were written as zeros (%s), because %s.' % (
                    what, number(passing.sparse, 'file'), number(passing.holes, 'byte'), why))
            self._drop(helper)
            return {'way': way, 'why': why, 'entries': passing.reader.members, 'files': passing.files,
                    'bytes': passing.bytes, 'notes': notes, 'databases': found}
        finally:
            removal.discard(folder)

    def _links_out(self, helper: str, away: awaylinks.Held, what: str) -> None:
        """Links that lead out of the volume, by an archive of their own."""
        try:
            self.engine.put_archive(helper, '/', away.archive())
        except EngineError as exc:
            names = away.names()
            raise EngineError('%s has %s that lead out of the volume (%s%s), and the engine refuses them over its API: restore on the engine\'s own host '
                              'as root, or make them there by hand. %s' % (
                                  what, number(len(names), 'link'), ', '.join(tarread.shown(name) for name in names[:5]),
                                  ' and %d more' % (len(names) - 5) if len(names) > 5 else '', exc))

    def empty(self, volume: Mapping[str, Any]) -> Mapping[str, Any]:
        """Remove what a killed run of ours left in a volume; the volume may be another one afterwards."""
        if self.way(volume)[0] == DIRECT:
            spot = self._spot(volume)
            with spot.folder() as folder:
                target.write_note(MARK, b'', folder)
                data = target.opened_folder(spot.name, folder)
                try:
                    for name in os.listdir(data):
                        removal.remove(name, data)
                finally:
                    os.close(data)
            return volume
        self.remove(volume['Name'])
        return self.engine.create_volume(volume['Name'], volume.get('Driver') or 'local', volume.get('Options'),
                                         volume.get('Labels'))

    def remove(self, name: str) -> None:
        """Remove a volume, and the container that was filling it."""
        for user in self.users(name):
            if user['filling']:
                self._drop(user['id'])
        self.engine.remove('/volumes/%s' % name)

    def set_aside(self, volume: Mapping[str, Any], digest: str) -> 'Union[_KeptFolder, _KeptCopy, podmanvolumes.KeptMoved]':
        """Move the content of a volume away, out of the way but not gone -> an object with restore(), keep(), drop().
        DIGEST: of the archive that the volume will be filled from."""
        if self.way(volume)[0] == DIRECT:
            return _KeptFolder(self, volume, self._spot(volume))
        if self.engine.podman:
            return podmanvolumes.KeptMoved(self, volume, _before(volume['Name']), digest, LABEL)
        return _KeptCopy(self, volume, digest)

    # --- helper containers

    def _helper(self, name: str, looking: bool = False, extra: Optional[Dict[str, str]] = None) -> str:
        """Id of a container that has the volume at PLACE and is never started."""
        labels = {} if looking else {FILL_LABEL: name}
        mounts = [{'Type': 'volume', 'Source': name, 'Target': PLACE, 'VolumeOptions': {'NoCopy': True}}]
        for source, place in (extra or {}).items():
            mounts.append({'Type': 'volume', 'Source': source, 'Target': place, 'VolumeOptions': {'NoCopy': True}})
        body = {'Image': self._image(), 'Cmd': ['never-started'], 'Entrypoint': [], 'Labels': labels,
                'NetworkDisabled': True, 'Healthcheck': {'Test': ['NONE']},
                'HostConfig': {'NetworkMode': 'none', 'Mounts': mounts, 'LogConfig': {'Type': 'none'}}}
        return self.engine.create_container('lifeboat-' + uuid.uuid4().hex[:12], body)[0]

    def _drop(self, helper: str) -> None:
        self.engine.remove('/containers/%s' % helper, {'force': '1', 'v': '1'})

    def _image(self) -> str:
        if self._helper_image is None:
            reference = (EMPTY_IMAGE_OF_PODMAN if self.engine.podman else EMPTY_IMAGE) % uuid.uuid4().hex[:12]
            try:
                self.engine.import_empty(reference)
                self._helper_image = reference
            except EngineError:
                if not self.fallback_image:
                    raise
                self._helper_image = self.fallback_image
        return self._helper_image


class Passing(object):
    """Iterator over the bytes of an archive that are known to be harmless, for a stream to the engine.

    A byte is given out only after the member it belongs to was checked. The beginnings of files are kept in FOLDER for
    the search for databases. CONFINED: the engine unpacks where links lead no further than the volume, so that it takes each link; otherwise those
    that lead out are not given out, but held in `away`. `sample`: owners of a few members.
    """

    def __init__(self, stream: 'pieces.Readable', what: str, folder: bytes, limit: Optional[int] = None, max_holes: Optional[int] = None,
                 allow_devices: bool = False, confined: bool = False) -> None:
        self.max_holes = max_holes
        self.allow_devices = allow_devices
        self.confined = confined
        self.sample: List[podmancli.Owner] = []
        self.away = awaylinks.Held(PLACE)
        self._stream = stream
        self._pieces = collections.deque()
        self._passed = self._seen = 0
        self.reader = tarread.Reader(_Tap(self._take), what)
        self.what = what
        self.limit = limit
        self.folder = folder
        self.files = self.bytes = self.sparse = self.holes = 0

    def _take(self, count: int) -> bytes:
        data = self._stream.read(count)
        if data and not self.reader.ended:
            self._pieces.append(data)
            self._seen += len(data)
        return data

    def _ready(self) -> Iterator[bytes]:
        """Yield what the reader has consumed."""
        until = self._seen - self.reader.ahead()
        while self._pieces and self._passed < until:
            piece = self._pieces[0]
            room = until - self._passed
            if len(piece) <= room:
                self._pieces.popleft()
            else:
                self._pieces[0] = piece[room:]
                piece = piece[:room]
            self._passed += len(piece)
            yield piece

    def _drop(self) -> None:
        """Do not give out what the reader has consumed since the last _ready(): the header of a link."""
        for dummy in self._ready():
            pass

    def __iter__(self) -> Iterator[bytes]:
        reader = self.reader
        shadow = unpack.Shadow(reader, self.folder)
        seen = unpack.Seen()
        try:
            for member in reader:
                unpack.foresee(reader, member, seen, self.allow_devices)
                if not self.confined and self.away.takes(reader, member):
                    self._drop()
                    continue
                if member.kind in (tarread.FILE, tarread.HARDLINK):
                    self.files += 1
                if member.kind in (tarread.FILE, tarread.FOLDER) and len(self.sample) < podmancli.SAMPLE and (member.uid or member.gid):
                    self.sample.append(podmancli.Owner(member.name, member.uid, member.gid))
                fd = shadow.wants(member)
                try:
                    if member.kind == tarread.FILE:
                        self._count(member)
                        yield from self._data(member, shadow, fd)
                finally:
                    if fd is not None:
                        os.close(fd)
                reader.end_member()
                yield from self._ready()
            yield from self._ready()
            yield bytes(2 * tarread.BLOCK)
        finally:
            shadow.close()

    def _count(self, member: tarread.Member) -> None:
        self.bytes += member.realsize
        if self.limit is not None and self.bytes > self.limit:
            raise self.reader.fail('has more content than the manifest says (%s)' % number(self.limit, 'byte'), member.name)
        if member.sparse is not None:
            self.sparse += 1
            self.holes += member.realsize - sum(length for dummy, length in member.sparse)
            if self.max_holes is not None and self.holes > self.max_holes:
                raise self.reader.fail(
                    'has %s of holes, which the engine would write as zeros; restore on the engine\'s own host as '
                    'root, or give ignore: [holes]' % number(self.holes, 'byte'), member.name)

    def _data(self, member: tarread.Member, shadow: unpack.Shadow, fd: Optional[int]) -> Iterator[bytes]:
        for offset, length in ((0, member.size),) if member.sparse is None else member.sparse:
            for piece in self.reader.pieces(length):
                if fd is not None:
                    shadow.keep(fd, offset, piece)
                offset += len(piece)
                yield from self._ready()


class _Tap(object):
    """A stream whose read() is somebody else's function; Passing itself must not look like a file."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self.read = read


class _KeptFolder(object):
    """The content of a local volume, renamed within the folder of that volume."""

    def __init__(self, access: Volumes, volume: Mapping[str, Any], spot: target.Place) -> None:
        self.access = access
        self.volume = volume
        self.spot = spot
        with spot.folder() as folder:
            if target.kind_of(ASIDE, folder):
                raise LifeboatError('%s holds what an earlier run set aside; move it away, then run again.'
                                    % show(spot.beside(ASIDE)))
            st = os.stat(spot.name, dir_fd=folder, follow_symlinks=False)
            if not stat.S_ISDIR(st.st_mode):
                raise LifeboatError('%s is no folder.' % show(spot.path))
            self.note = target.read_note(DONE, folder)[:64]
            os.rename(spot.name, ASIDE, src_dir_fd=folder, dst_dir_fd=folder)
            os.mkdir(spot.name, 0o700, dir_fd=folder)
            made = target.opened_folder(spot.name, folder)
            try:
                os.fchown(made, st.st_uid, st.st_gid)
                os.fchmod(made, st.st_mode & 0o7777)
            finally:
                os.close(made)

    def restore(self) -> None:
        """Put it back, whatever is in its place now."""
        with self.spot.folder() as folder:
            removal.remove(self.spot.name, folder)
            os.rename(ASIDE, self.spot.name, src_dir_fd=folder, dst_dir_fd=folder)
            if self.note:
                target.write_note(DONE, self.note, folder)
            else:
                target.drop_note(DONE, folder)
            target.drop_note(MARK, folder)

    def keep(self) -> str:
        """Give it a volume of its own; returns that volume's name."""
        name = _before(self.volume['Name'])
        spot = self.access._spot(self.access.engine.create_volume(name, labels=self.volume.get('Labels')))
        with self.spot.folder() as here, spot.folder() as there:
            os.rmdir(spot.name, dir_fd=there)
            os.rename(ASIDE, spot.name, src_dir_fd=here, dst_dir_fd=there)
        return name

    def drop(self) -> None:
        with self.spot.folder() as folder:
            removal.remove(ASIDE, folder)


class _KeptCopy(object):
    """The content of a volume, copied through the engine into another volume; the volume itself is made anew."""

    def __init__(self, volumes: Volumes, volume: Mapping[str, Any], digest: str) -> None:
        self.volumes = volumes
        self.volume = volume
        self.name = _before(volume['Name'])
        volumes.engine.create_volume(self.name, labels=volume.get('Labels'))
        try:
            self._copy(volume['Name'], self.name)
            volumes.engine.remove('/volumes/%s' % volume['Name'])
            self._create(dict(volume.get('Labels') or {}, **{LABEL: digest}))
        except BaseException:
            volumes.engine.remove('/volumes/%s' % self.name)
            raise

    def _create(self, labels: Dict[str, str]) -> None:
        volume = self.volume
        self.volumes.engine.create_volume(volume['Name'], volume.get('Driver') or 'local', volume.get('Options'), labels)

    def _copy(self, source: str, target: str) -> None:
        helper = self.volumes._helper(source, True, {target: PLACE + '-to'})
        try:
            stream = self.volumes.engine.get_archive(helper, PLACE + '/.')
            try:
                self.volumes.engine.put_archive(helper, PLACE + '-to', pieces.of(stream))
            finally:
                stream.close()
        finally:
            self.volumes._drop(helper)

    def restore(self) -> None:
        self.volumes.remove(self.volume['Name'])
        self._create(self.volume.get('Labels') or {})
        self._copy(self.name, self.volume['Name'])
        self.volumes.engine.remove('/volumes/%s' % self.name)

    def keep(self) -> str:
        return self.name

    def drop(self) -> None:
        self.volumes.engine.remove('/volumes/%s' % self.name)


def open_archive(info: reading.BundleInfo, name: bytes, codec: Optional[str] = None) -> 'pieces.ReadableFile':
    """The decompressed stream of a bundle's archive (NAME bytes). CODEC: its compressor; by default its name says which."""
    codec = compress.codec_of(name) if codec is None else codec
    if info.remote is not None:
        incoming = info.remote.stream(name)
        try:
            return inbox.Checked(compress.open_reader(incoming.fd, codec), incoming)
        finally:
            os.close(incoming.fd)
    fd = reading.open_file(info, name)
    try:
        return _Unchanged(compress.open_reader(fd, codec), info, name, fd)
    except BaseException:
        os.close(fd)
        raise


def look_through(info: Any, name: bytes, allow_devices: bool, limit: Any = None) -> Any:
    """Read a bundle's archive (NAME bytes) to its end and see whether it can be unpacked, see unpack.scan(). LifeboatError where not."""
    stream = open_archive(info, name)
    try:
        unpack.scan(stream, show(name), allow_devices, limit=limit)
    finally:
        stream.close()


class _Unchanged(object):
    """A decompressed stream whose end is only believed if the file is still the one that was checked."""

    def __init__(self, stream: 'pieces.ReadableFile', info: reading.BundleInfo, name: bytes, fd: int) -> None:
        self._stream = stream
        self._info = info
        self._name = name
        self._fd = fd

    def read(self, count: int = -1) -> bytes:
        data = self._stream.read(count)
        if not data and count:
            reading.refuse_changed(self._info, self._name, self._fd)
        return data

    def close(self) -> None:
        self._stream.close()
        os.close(self._fd)


def _before(name: str) -> str:
    return '%s-before-%s' % (name, time.strftime('%Y%m%d%H%M%S', time.gmtime()))


def _is_ours(place: str) -> bool:
    """True if PLACE is a folder that this process can write into."""
    return bool(place) and os.path.isdir(place) and not os.path.islink(place) and os.access(place, os.W_OK)
