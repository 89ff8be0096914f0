import json
import os
import shutil
import socket
import tempfile
import threading

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.restore import engineapi
from ansible_collections.lifeboat.docker.plugins.module_utils.restore.engineapi import EngineError

VERSION = {'ApiVersion': '1.41', 'MinAPIVersion': '1.12', 'Version': '20.10.24'}


class Server(object):
    """Answers one request after another on a unix socket with what ANSWERS has for its first line; keeps what came."""

    def __init__(self, folder):
        self.path = os.path.join(folder, 's')
        self.answers = {'GET /version': (200, VERSION)}
        self.requests = []
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(self.path)
        self.socket.listen(5)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, dummy = self.socket.accept()
            except OSError:
                return
            with connection, connection.makefile('rb') as stream:
                line = stream.readline().decode().rsplit(' ', 1)[0]
                headers = {}
                for raw in iter(stream.readline, b'\r\n'):
                    name, dummy, value = raw.decode().partition(':')
                    headers[name.lower()] = value.strip()
                answer = self.answers.get(line.split('?')[0], (404, {'message': 'no such thing'}))
                if answer == 'hang up':
                    continue
                body = b'' if answer[0] == 413 else self.body(stream, headers)
                self.requests.append((line, headers, body))
                data = answer[1] if isinstance(answer[1], bytes) else json.dumps(answer[1]).encode()
                connection.sendall(b'HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n' % (answer[0], len(data)) + data)

    @staticmethod
    def body(stream, headers):
        if headers.get('transfer-encoding') == 'chunked':
            found = b''
            while True:
                size = int(stream.readline(), 16)
                found += stream.read(size)
                stream.readline()
                if not size:
                    return found
        return stream.read(int(headers.get('content-length', 0)))


@pytest.fixture
def server():
    folder = tempfile.mkdtemp()         # pytest's own may be longer than a socket's path may be
    made = Server(folder)
    yield made
    made.socket.close()
    shutil.rmtree(folder)


@pytest.fixture
def engine(server):
    return engineapi.engine('unix://' + server.path)


@pytest.mark.parametrize('newest, oldest, used', [('1.41', '1.12', (1, 41)), ('1.99', '1.24', (1, 51)), ('1.30', '', (1, 30))])
def test_version_that_both_know(server, newest, oldest, used):
    server.answers['GET /version'] = (200, {'ApiVersion': newest, 'MinAPIVersion': oldest})
    assert engineapi.engine('unix://' + server.path).api == used


@pytest.mark.parametrize('newest, oldest', [('1.20', '1.12'), ('1.99', '1.60'), (None, None), ('x', 'y')])
def test_version_that_does_not_fit(server, newest, oldest):
    server.answers['GET /version'] = (200, {'ApiVersion': newest, 'MinAPIVersion': oldest})
    with pytest.raises(EngineError):
        engineapi.engine('unix://' + server.path)


def test_requests_carry_the_version_and_encode_names(server, engine):
    server.answers['POST /v1.41/containers/create'] = (201, {'Id': 'abc', 'Warnings': None})
    assert engine.create_container('a b', {'Image': 'x'}) == ('abc', [])
    line, headers, body = server.requests[-1]
    assert line == 'POST /v1.41/containers/create?name=a+b' and json.loads(body.decode()) == {'Image': 'x'}
    assert engine.volume('../x') is None
    assert server.requests[-1][0] == 'GET /v1.41/volumes/..%2Fx'


def test_what_the_engine_says_is_in_the_error(server, engine):
    server.answers['POST /v1.41/volumes/create'] = (500, {'message': 'no\nspace'})
    with pytest.raises(EngineError) as caught:
        engine.create_volume('v')
    assert 'no space' in str(caught.value) and caught.value.status == 500


def test_stream_is_sent_in_pieces(server, engine):
    server.answers['POST /v1.41/images/load'] = (200, b'{"stream":"Loaded image: a:1\\n"}\r\n{"stream":"x"}\r\n')
    assert engine.load(piece for piece in [b'one', b'', b'two']) == ('a:1',)
    assert server.requests[-1][2] == b'onetwo'


def test_error_within_a_successful_answer(server, engine):
    server.answers['POST /v1.41/images/load'] = (200, b'{"errorDetail":{"message":"bad layer"},"error":"bad layer"}\n')
    with pytest.raises(EngineError) as caught:
        engine.load(iter([b'x']))
    assert 'bad layer' in str(caught.value)


def test_refusal_before_all_was_sent_is_read(server, engine):
    server.answers['PUT /v1.41/containers/c/archive'] = (413, {'message': 'too large'})
    with pytest.raises(EngineError) as caught:
        engine.put_archive('c', '/', (b'x' * 65536 for dummy in range(1000)))
    assert 'too large' in str(caught.value)


def test_an_object_with_read_is_not_sent_past_its_iterator(server, engine):
    """http.client prefers read(); what has to be checked on the way would slip through."""
    class Both(object):
        def read(self, dummy):
            raise AssertionError('read was called')

        def __iter__(self):
            return iter([b'checked'])
    server.answers['PUT /v1.41/containers/c/archive'] = (200, {})
    engine.put_archive('c', '/', Both())
    assert server.requests[-1][2] == b'checked'


def test_nobody_there(server, tmp_path):
    with pytest.raises(EngineError) as caught:
        engineapi.engine('unix:///nowhere/docker.sock')
    assert 'no such socket' in str(caught.value)
    server.answers['GET /version'] = 'hang up'
    with pytest.raises(EngineError):
        engineapi.engine('unix://' + server.path)
    with pytest.raises(EngineError) as caught:
        engineapi.engine('unix:///' + 'x' * 200)
    assert '107' in str(caught.value)


@pytest.mark.parametrize('address', ['ssh://host', '/var/run/docker.sock', 'tcp://', 'tcp://host:port', 'http://:99999999'])
def test_addresses_that_make_no_sense(address):
    with pytest.raises(EngineError):
        engineapi.engine(address)


@pytest.mark.parametrize('address, secure, scheme, port', [
    ('tcp://h', False, 'http', 2375), ('tcp://h', True, 'https', 2376), ('tcp://h:2376', False, 'https', 2376),
    ('tcp://h:99', True, 'https', 99), ('http://h:99', False, 'http', 99)])
def test_tls_is_chosen(address, secure, scheme, port, monkeypatch):
    monkeypatch.setattr(engineapi.Engine, 'connect', lambda self: self)
    found = engineapi.engine(address, secure)
    assert (found._scheme, found._where) == (scheme, ('h', port))


def test_logs_without_and_with_a_terminal(server, engine):
    server.answers['GET /v1.41/containers/c/logs'] = (200, b'\1\0\0\0\0\0\0\2hi\2\0\0\0\0\0\0\3!!\n')
    assert engine.logs('c') == 'hi!!\n'
    server.answers['GET /v1.41/containers/c/logs'] = (200, b'plain text, no frames\n')
    assert engine.logs('c') == 'plain text, no frames\n'


def test_network_by_its_exact_name_only(server, engine):
    server.answers['GET /v1.41/networks/ab'] = (200, {'Name': 'other', 'Id': 'ab123'})
    assert engine.network('ab') is None


def test_peer_is_the_process_that_listens(server, engine):
    assert engine.peer() == os.getpid()
