"""The part of the Engine API that a restore needs, with nothing but the standard library.

One connection for each request: no state that could outlive an error. Bodies that are generators are streamed
(chunked), so an image or a volume of any size passes through a fixed amount of memory.
Source: the Engine API reference (versions 1.24 to 1.51).
"""
import http.client
import json
import os
import socket
import struct
from typing import TYPE_CHECKING, Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple
from urllib.parse import quote, urlencode, urlsplit

from ..disk.errors import LifeboatError
from ..formats.values import as_dict, as_int, as_list

if TYPE_CHECKING:
    import ssl

OLDEST = (1, 24)
NEWEST = (1, 51)
DEFAULT_HOST = 'unix:///var/run/docker.sock'
SOCKET_PATH_LIMIT = 107                 # sun_path without its NUL
TIMEOUT = 60                            # seconds without an answer to a small request
SLOW = 6 * 3600                         # the same for a load or an upload, during which the engine is silent
MAX_ANSWER = 64 << 20
MAX_MESSAGE = 2000
PODMAN = 'Podman Engine'                # among the components in the answer to /version
LIBPOD = '/v4.0.0/libpod'                # Podman's own API, at the same socket


class EngineError(LifeboatError):
    """The engine cannot be reached, or refused. `status` is that of HTTP, 0 without an answer."""

    def __init__(self, message: str, status: int = 0, answer: str = '') -> None:
        LifeboatError.__init__(self, message)
        self.status = status
        self.answer = answer


class Tls(NamedTuple):
    """Files for TLS; `verify` false accepts any certificate."""
    ca: str = ''
    cert: str = ''
    key: str = ''
    verify: bool = True
    hostname: str = ''


class Engine(object):
    """docker_host: unix:///path, tcp://host:port, http(s)://host:port. Raises EngineError from every method."""

    def __init__(self, docker_host: str = DEFAULT_HOST, tls: Optional[Tls] = None, timeout: int = TIMEOUT) -> None:
        self.docker_host = docker_host or DEFAULT_HOST
        self.tls = tls
        self.timeout = timeout
        self.version: Dict[str, Any] = {}  # the answer to /version
        self.api: Tuple[int, ...] = ()  # (1, 41) once it is connected
        self._scheme, self._where = _address(self.docker_host)

    @property
    def podman(self) -> bool:
        """Is it Podman that answers, at its Docker-compatible socket?"""
        return any(as_dict(item).get('Name') == PODMAN for item in as_list(self.version.get('Components')))

    # --- requests

    def connect(self) -> 'Engine':
        """Ask for the version and settle on the newest that both know. Must come first."""
        self.version = self.request('GET', '/version', versioned=False)
        newest = _version(self.version.get('ApiVersion'))
        oldest = _version(self.version.get('MinAPIVersion')) or OLDEST
        if newest is None or newest < OLDEST:
            raise EngineError('The engine at %s speaks API %s; at least %d.%d (Docker 1.12) is needed.'
                              % ((self.docker_host, self.version.get('ApiVersion')) + OLDEST))
        self.api = min(newest, NEWEST)
        if oldest > self.api:
            raise EngineError('The engine at %s wants API %d.%d or later; this collection knows up to %d.%d.'
                              % (self.docker_host, oldest[0], oldest[1], NEWEST[0], NEWEST[1]))
        return self

    def request(self, method: str, path: str, query: Optional[Dict[str, str]] = None,
                body: Any = None, headers: Optional[Dict[str, str]] = None,
                timeout: Optional[int] = None, versioned: bool = True, stream: bool = False) -> Any:
        """The decoded JSON answer (None if empty); with STREAM the open response, which the caller closes.

        BODY: a dict (sent as JSON), bytes, or a generator of bytes (streamed).
        """
        connection = self._connection(timeout or self.timeout)
        headers = dict(headers or {})
        if isinstance(body, dict):
            body = json.dumps(body).encode('utf-8')
            headers.setdefault('Content-Type', 'application/json')
        if self.docker_host.startswith('unix:'):
            headers['Host'] = 'docker'
        url = ('/v%d.%d' % self.api if versioned and self.api else '') + path
        if query:
            url += '?' + urlencode(query)
        chunked = body is not None and not isinstance(body, bytes)
        chunks: Any = body
        if chunked:
            chunks = iter(body)         # http.client would call read() of anything that has one
            headers['Transfer-Encoding'] = 'chunked'
        interrupted = None
        try:
            try:
                connection.request(method, url, chunks, headers, encode_chunked=chunked)
            except (BrokenPipeError, ConnectionResetError) as exc:
                interrupted = exc       # the engine refused before it had read all: it says why
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as exc:
            connection.close()
            raise self._unreachable(interrupted or exc, method, path)
        except BaseException:
            connection.close()
            raise
        if response.status >= 400:
            try:
                raise self._refused(response, method, path)
            finally:
                connection.close()
        if stream:
            return _Stream(connection, response)
        try:
            return _decoded(response.read(MAX_ANSWER))
        except (OSError, http.client.HTTPException) as exc:
            raise self._unreachable(exc, method, path)
        finally:
            connection.close()

    def _connection(self, timeout: float) -> 'http.client.HTTPConnection':
        if self._scheme == 'unix':
            return _UnixConnection(self._where, timeout)
        host, port = self._where
        if self._scheme == 'http':
            return http.client.HTTPConnection(host, port, timeout=timeout)
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=_context(self.tls or Tls()))

    def _unreachable(self, exc: Exception, method: str, path: str) -> EngineError:
        where = self.docker_host
        if isinstance(exc, FileNotFoundError):
            hint = 'there is no such socket; start the engine, or set docker_host'
        elif isinstance(exc, PermissionError):
            hint = 'permission denied; use become, or a user of the group docker'
        elif isinstance(exc, ConnectionRefusedError):
            hint = 'nobody listens there; start the engine'
        elif isinstance(exc, socket.timeout):
            hint = 'no answer in time'
        elif isinstance(exc, http.client.BadStatusLine):
            hint = 'the answer is no HTTP; is TLS wanted there (tls: true)?'
        else:
            hint = str(exc) or exc.__class__.__name__
        return EngineError('The engine at %s does not answer %s %s: %s.' % (where, method, path, hint))

    def _refused(self, response: 'http.client.HTTPResponse', method: str, path: str) -> EngineError:
        raw = response.read(1 << 16)
        answer = _decoded(raw)
        said = answer.get('message') if isinstance(answer, dict) else None
        if not isinstance(said, str):
            said = raw.decode('utf-8', 'replace')
        said = ' '.join(said.split())[:MAX_MESSAGE]
        return EngineError('The engine refused %s %s (%d): %s' % (method, path, response.status, said), response.status,
                           said)

    def peer(self) -> Optional[int]:
        """Process id of whoever listens at the unix socket (unix(7): SO_PEERCRED), None for other kinds."""
        if self._scheme != 'unix':
            return None
        connection = _UnixConnection(self._where, self.timeout)
        try:
            connection.connect()
            raw = connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize('3i'))
        except OSError:
            return None
        finally:
            connection.close()
        return struct.unpack('3i', raw)[0] or None

    def find(self, path: str) -> Any:
        """GET PATH, None if it is not there."""
        try:
            return self.request('GET', path)
        except EngineError as exc:
            if exc.status == 404:
                return None
            raise

    def remove(self, path: str, query: Optional[Dict[str, str]] = None) -> None:
        """DELETE PATH; gone already is fine."""
        try:
            self.request('DELETE', path, query, timeout=600)
        except EngineError as exc:
            if exc.status != 404:
                raise

    def exists(self, container: str, path: str) -> bool:
        """Is there a file or folder PATH in a container?"""
        try:
            self.request('HEAD', '/containers/%s/archive' % quote(container, safe=''), {'path': path})
            return True
        except EngineError as exc:
            if exc.status == 404:
                return False
            raise

    # --- what the restore asks for

    def info(self) -> Dict[str, Any]:
        return self.request('GET', '/info') or {}

    def image(self, reference: str) -> Optional[Dict[str, Any]]:
        return self.find('/images/%s/json' % quote(reference, safe='/:@'))

    def container(self, name: str) -> Optional[Dict[str, Any]]:
        return self.find('/containers/%s/json' % quote(name, safe=''))

    def containers(self, filters: Optional[Dict[str, List[str]]] = None) -> List[Dict[str, Any]]:
        """Every container, stopped ones too."""
        query = {'all': '1'}
        if filters:
            query['filters'] = json.dumps(filters)
        return self.request('GET', '/containers/json', query) or []

    def volume(self, name: str) -> Optional[Dict[str, Any]]:
        return self.find('/volumes/%s' % quote(name, safe=''))

    def network(self, name: str) -> Optional[Dict[str, Any]]:
        """The network of exactly this name (the API also takes prefixes of ids)."""
        found = self.find('/networks/%s' % quote(name, safe=''))
        return found if found and found.get('Name') == name else None

    def create_volume(self, name: str, driver: str = 'local', options: Optional[Dict[str, str]] = None,
                      labels: Optional[Dict[str, str]] = None) -> Dict[str, Any]:
        return self.request('POST', '/volumes/create', body={
            'Name': name, 'Driver': driver, 'DriverOpts': options or {}, 'Labels': labels or {}})

    def create_network(self, name: str, info: Dict[str, Any]) -> Any:
        """INFO: as recreate.body.user_networks() gives it. Returns the id."""
        pools = [dict((target, item[key]) for key, target in (('subnet', 'Subnet'), ('gateway', 'Gateway'),
                                                              ('ip_range', 'IPRange')) if item.get(key))
                 for item in info.get('ipam') or []]
        for pool, item in zip(pools, info.get('ipam') or []):
            if item.get('reserved'):
                pool['AuxiliaryAddresses'] = item['reserved']
        body = {'Name': name, 'Driver': info.get('driver') or 'bridge', 'CheckDuplicate': True,
                'Internal': info.get('internal') is True, 'Attachable': info.get('attachable') is True,
                'EnableIPv6': info.get('enable_ipv6') is True, 'Options': info.get('options') or {},
                'Labels': info.get('labels') or {}}
        if info.get('disable_ipv4') is True:
            body['EnableIPv4'] = False
        address = dict((key, value) for key, value in (('Driver', info.get('ipam_driver')), ('Options', info.get('ipam_options')),
                                                       ('Config', pools)) if value)
        if address:
            body['IPAM'] = address
        return self.request('POST', '/networks/create', body=body)['Id']

    def create_container(self, name: str, body: Dict[str, Any]) -> Tuple[str, List[str]]:
        """Returns (id, warnings)."""
        answer = self.request('POST', '/containers/create', {'name': name}, body, timeout=600)
        return answer['Id'], answer.get('Warnings') or []

    def connect_network(self, network: str, container: str, endpoint: Dict[str, Any]) -> None:
        self.request('POST', '/networks/%s/connect' % quote(network, safe=''),
                     body={'Container': container, 'EndpointConfig': endpoint})

    def start(self, container: str) -> None:
        self.request('POST', '/containers/%s/start' % quote(container, safe=''), timeout=600)

    def stop(self, container: str, seconds: Optional[int] = None) -> None:
        self.request('POST', '/containers/%s/stop' % quote(container, safe=''),
                     {'t': str(seconds)} if seconds is not None else None, timeout=(seconds or 0) + 600)

    def pause(self, container: str) -> None:
        self.request('POST', '/containers/%s/pause' % quote(container, safe=''))

    def rename(self, container: str, name: str) -> None:
        self.request('POST', '/containers/%s/rename' % quote(container, safe=''), {'name': name})

    def update_restart(self, container: str, policy: Dict[str, Any]) -> None:
        self.request('POST', '/containers/%s/update' % quote(container, safe=''), body={'RestartPolicy': policy})

    def logs(self, container: str, lines: int = 20) -> str:
        """The last lines that the container wrote, as text."""
        try:
            stream = self.request('GET', '/containers/%s/logs' % quote(container, safe=''),
                                  {'stdout': '1', 'stderr': '1', 'tail': str(lines)}, stream=True)
        except EngineError as exc:
            return exc.answer
        try:
            return _demultiplexed(stream.read(1 << 18))
        finally:
            stream.close()

    def execute(self, container: str, argv: List[str], user: str = '', env: Tuple[str, ...] = (), limit: int = MAX_ANSWER) -> Tuple[int, bytes]:
        """Run a program in a running container -> (exit status, what it printed: both streams, at most LIMIT bytes)."""
        created = self.request('POST', '/containers/%s/exec' % quote(container, safe=''), body={
            'Cmd': argv, 'User': user, 'Env': list(env), 'AttachStdout': True, 'AttachStderr': True})['Id']
        stream = self.request('POST', '/exec/%s/start' % created, body={'Detach': False, 'Tty': False}, stream=True, timeout=SLOW)
        try:
            said = b''.join(_frames(stream, limit))
        finally:
            stream.close()
        return as_dict(self.request('GET', '/exec/%s/json' % created)).get('ExitCode') or 0, said

    def execute_behind(self, container: str, argv: List[str], user: str = '', env: Tuple[str, ...] = ()) -> None:
        """The same for a program that goes on; what it prints is lost."""
        created = self.request('POST', '/containers/%s/exec' % quote(container, safe=''), body={'Cmd': argv, 'User': user, 'Env': list(env)})['Id']
        self.request('POST', '/exec/%s/start' % created, body={'Detach': True, 'Tty': False})

    def load(self, pieces: Iterable[bytes]) -> Tuple[str, ...]:
        """POST /images/load with the archive in PIECES (generator of bytes) -> tuple of what was loaded."""
        loaded = []
        stream = self.request('POST', '/images/load', {'quiet': '1'}, pieces, {'Content-Type': 'application/x-tar'},
                              timeout=SLOW, stream=True)
        try:
            for message in _messages(stream):
                if message.get('error') or message.get('errorDetail'):
                    said = message.get('error') or (message.get('errorDetail') or {}).get('message')
                    raise EngineError('The engine could not load the image: %s.' % str(said).strip().rstrip('.'))
                said = message.get('stream')
                if isinstance(said, str) and said.startswith('Loaded image'):
                    loaded.append(said.split(': ', 1)[-1].strip())
        finally:
            stream.close()
        return tuple(loaded)

    def import_empty(self, reference: str) -> None:
        """An image without any file, for containers that are never started."""
        repository, dummy, tag = reference.partition(':')
        query = {'fromSrc': '-', 'repo': repository, 'tag': tag or 'latest'}
        if self.podman:
            query = {'fromSrc': '-', 'repo': reference}     # it takes no notice of the tag
        stream = self.request('POST', '/images/create', query,
                              _one(bytes(10240)), {'Content-Type': 'application/x-tar'}, stream=True)
        try:
            for message in _messages(stream):
                if message.get('error'):
                    raise EngineError('The engine could not make an empty image: %s.' % message['error'])
        finally:
            stream.close()

    def prepare(self, container: str) -> None:
        """Podman: mount what a container mounts, as its first start would, and start nothing. A program that is not there is no error."""
        try:
            self.request('POST', '%s/containers/%s/init' % (LIBPOD, quote(container, safe='')), versioned=False, timeout=600)
        except EngineError as exc:
            if not exc.status:
                raise

    def volume_state(self, name: str) -> Dict[str, Any]:
        """Podman's own record of a volume, with what its first use will change."""
        return as_dict(self.request('GET', '%s/volumes/%s/json' % (LIBPOD, quote(name, safe='')), versioned=False))

    def id_maps(self) -> Tuple[List[Tuple[int, int, int]], List[Tuple[int, int, int]]]:
        """Podman: ([(first id inside, first id on the host, count)] of users, the same of groups) of the namespace that it works in; empty for root's."""
        host = as_dict(as_dict(self.request('GET', LIBPOD + '/info', versioned=False)).get('host'))
        found = [[(as_int(row.get('container_id')) or 0, as_int(row.get('host_id')) or 0, as_int(row.get('size')) or 0)
                  for row in map(as_dict, as_list(as_dict(host.get('idMappings')).get(key)))] for key in ('uidmap', 'gidmap')]
        return found[0], found[1]

    def secret(self, name: str) -> Optional[Dict[str, Any]]:
        """Podman's record of the secret NAME, None if it has none; since Podman 4.7 with the value (`SecretData`)."""
        try:
            return as_dict(self.request('GET', '%s/secrets/%s/json' % (LIBPOD, quote(name, safe='')), {'showsecret': 'true'}, versioned=False))
        except EngineError as exc:
            if exc.status == 404:
                return None
            raise

    def create_secret(self, name: str, value: bytes, driver: str, options: Dict[str, str], labels: Dict[str, str]) -> None:
        """Podman: make a secret. The value is the body of the request, and nowhere else."""
        query = {'name': name, 'driver': driver}
        for key, given in (('driveropts', options), ('labels', labels)):
            if given:
                query[key] = json.dumps(given)
        self.request('POST', LIBPOD + '/secrets/create', query, value, {'Content-Type': 'application/octet-stream'}, versioned=False)

    def remove_secret(self, name: str) -> None:
        """Podman: remove a secret; gone already is fine. Containers that have it keep it."""
        try:
            self.request('DELETE', '%s/secrets/%s' % (LIBPOD, quote(name, safe='')), versioned=False)
        except EngineError as exc:
            if exc.status != 404:
                raise

    def put_archive(self, container: str, path: str, pieces: Iterable[bytes]) -> None:
        """Unpack the tar in PIECES (generator of bytes) below PATH in a container."""
        self.request('PUT', '/containers/%s/archive' % quote(container, safe=''), {'path': path}, pieces,
                     {'Content-Type': 'application/x-tar'}, timeout=SLOW)

    def get_archive(self, container: str, path: str) -> '_Stream':
        """An open stream (read(n), close()) of a tar with PATH of a container."""
        return self.request('GET', '/containers/%s/archive' % quote(container, safe=''), {'path': path}, timeout=SLOW,
                            stream=True)


class _Stream(object):
    """A response that is read in pieces; closes its connection."""

    def __init__(self, connection: 'http.client.HTTPConnection', response: 'http.client.HTTPResponse') -> None:
        self._connection = connection
        self._response = response

    def read(self, count: int = -1) -> bytes:
        try:
            return self._response.read(count if count >= 0 else None)
        except (OSError, http.client.HTTPException) as exc:
            raise EngineError('The answer of the engine ended early: %s.' % (str(exc) or exc.__class__.__name__))

    def readline(self) -> bytes:
        try:
            return self._response.readline(1 << 20)
        except (OSError, http.client.HTTPException) as exc:
            raise EngineError('The answer of the engine ended early: %s.' % (str(exc) or exc.__class__.__name__))

    def close(self) -> None:
        self._connection.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        http.client.HTTPConnection.__init__(self, 'localhost', timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(self._path)
        except OSError:
            self.sock.close()
            raise


def _address(docker_host: str) -> Tuple[str, Any]:
    """docker_host -> ('unix', path) or ('http' | 'https' | 'tcp', (host, port))."""
    if docker_host.startswith('unix://'):
        path = docker_host[7:]
        if len(os.fsencode(path)) > SOCKET_PATH_LIMIT:
            raise EngineError('The path of the socket %s is longer than %d bytes; use a shorter link to it.'
                              % (path, SOCKET_PATH_LIMIT))
        return 'unix', path
    parts = urlsplit(docker_host)
    if parts.scheme not in ('tcp', 'http', 'https') or not parts.hostname:
        raise EngineError('docker_host %s is none of unix:///path, tcp://host:port, https://host:port.' % docker_host)
    try:
        port = parts.port
    except ValueError:
        raise EngineError('docker_host %s has no valid port.' % docker_host)
    return parts.scheme, (parts.hostname, port)


def engine(docker_host: str, use_tls: bool = False, tls: Optional[Tls] = None, timeout: int = TIMEOUT) -> Engine:
    """A connected Engine; tcp:// means TLS where it is asked for or the port is 2376."""
    found = Engine(docker_host, tls, timeout)
    if found._scheme == 'tcp':
        secure = use_tls or found._where[1] == 2376
        found._scheme = 'https' if secure else 'http'
        found._where = (found._where[0], found._where[1] or (2376 if secure else 2375))
    return found.connect()


def _context(tls: Tls) -> 'ssl.SSLContext':
    import ssl
    try:
        context = ssl.create_default_context(cafile=tls.ca or None)
        # Python 3.13 began to ask for extensions that an authority made by Docker's own instructions does not have, and that docker does not ask for
        context.verify_flags &= ~getattr(ssl, 'VERIFY_X509_STRICT', 0)
        if not tls.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if tls.cert:
            context.load_cert_chain(tls.cert, tls.key or None)
    except (OSError, ValueError) as exc:
        raise EngineError('The files for TLS cannot be used: %s.' % exc)
    return context


def _version(value: Any) -> Optional[Tuple[int, int]]:
    """'1.41' -> (1, 41), None if it is no version."""
    try:
        major, dummy, minor = value.partition('.')
        return int(major), int(minor)
    except (AttributeError, ValueError):
        return None


def _decoded(raw: bytes) -> Any:
    if not raw.strip():
        return None
    try:
        return json.loads(raw.decode('utf-8', 'replace'))
    except ValueError:
        return None


def _messages(stream: _Stream) -> Iterator[Dict[str, Any]]:
    """The JSON objects of a stream, one a line."""
    while True:
        line = stream.readline()
        if not line:
            return
        message = _decoded(line)
        if isinstance(message, dict):
            yield message


def _one(data: bytes) -> Iterator[bytes]:
    yield data


def _frames(stream: _Stream, limit: int) -> Iterator[bytes]:
    """Yield what a program prints, at most LIMIT bytes of it, and read the rest."""
    while True:
        head = stream.read(8)
        if len(head) < 8:
            return
        left = int.from_bytes(head[4:], 'big')
        while left:
            piece = stream.read(min(left, 1 << 16))
            if not piece:
                return
            left -= len(piece)
            if limit > 0:
                yield piece[:limit]
                limit -= len(piece)


def _demultiplexed(raw: bytes) -> str:
    """Output of a container without a terminal comes in frames: type, three zeros, length, data."""
    pieces = []
    at = 0
    while at + 8 <= len(raw):
        if raw[at] > 2 or raw[at + 1:at + 4] != b'\0\0\0':
            return raw.decode('utf-8', 'replace')
        length = int.from_bytes(raw[at + 4:at + 8], 'big')
        pieces.append(raw[at + 8:at + 8 + length])
        at += 8 + length
    return b''.join(pieces).decode('utf-8', 'replace')
