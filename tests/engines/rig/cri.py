"""The CRI of a containerd, spoken over its socket: one call a connection, of gRPC and HTTP/2 no more than that takes. Numbers of fields are
those of kubernetes' cri-api, pkg/apis/runtime/v1/api.proto.
"""
import socket
import struct

SETTINGS, HEADERS, DATA, PING, GOAWAY, RESET = 4, 1, 0, 6, 7, 3
END_STREAM, END_HEADERS, ACK = 1, 4, 1
NODE = 2                                # NamespaceMode: that of the host


class CallFailed(Exception):
    """The engine refused a call; its own log says why."""


def call(path, service, method, message=b''):
    """The response (bytes) of one call."""
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(60)
        stream.connect(path)
        head = b''.join(b'\0' + text(name) + text(value) for name, value in (
            (b':method', b'POST'), (b':scheme', b'http'), (b':path', ('/runtime.v1.%s/%s' % (service, method)).encode()), (b':authority', b'localhost'),
            (b'content-type', b'application/grpc'), (b'te', b'trailers')))
        stream.sendall(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + frame(SETTINGS, 0, 0, b'') + frame(HEADERS, END_HEADERS, 1, head) +
                       frame(DATA, END_STREAM, 1, b'\0' + struct.pack('>I', len(message)) + message))
        return answer(stream, method)


def answer(stream, method):
    body = b''
    while True:
        head = exactly(stream, 9)
        size, kind, flags = int.from_bytes(head[:3], 'big'), head[3], head[4]
        content = exactly(stream, size)
        if kind == SETTINGS and not flags & ACK:
            stream.sendall(frame(SETTINGS, ACK, 0, b''))
        elif kind == PING and not flags & ACK:
            stream.sendall(frame(PING, ACK, 0, content))
        elif kind == DATA:
            body += content
        elif kind in (GOAWAY, RESET):
            raise CallFailed('%s: the connection was reset' % method)
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            if len(body) < 5:           # only an error has no message at all
                raise CallFailed('%s: refused' % method)
            return body[5:]


def exactly(stream, size):
    found = b''
    while len(found) < size:
        piece = stream.recv(size - len(found))
        if not piece:
            raise CallFailed('the connection was closed')
        found += piece
    return found


def frame(kind, flags, number, content):
    return len(content).to_bytes(3, 'big') + bytes((kind, flags)) + struct.pack('>I', number) + content


def text(value):
    """A header's text, not compressed; shorter than 127 bytes."""
    return bytes((len(value),)) + value


# -- messages ---------------------------------------------------------------------------------------------------------------------------


def varint(number):
    found = b''
    while number > 127:
        found += bytes((number & 127 | 128,))
        number >>= 7
    return found + bytes((number,))


def message(*fields):
    """A message of (number, value): bytes, text, number, or a list of them."""
    found = b''
    for number, value in fields:
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, str):
                item = item.encode()
            if isinstance(item, bytes):
                found += varint(number << 3 | 2) + varint(len(item)) + item
            elif item:
                found += varint(number << 3) + varint(int(item))
    return found


def pairs(values):
    """A map of texts."""
    return [message((1, key), (2, value)) for key, value in values.items()]


def fields(raw):
    """Yield (number, value) of a message: a number, or bytes."""
    place = 0
    while place < len(raw):
        tag, place = number(raw, place)
        value, place = number(raw, place)
        if tag & 7 == 2:
            value, place = raw[place:place + value], place + value
        yield tag >> 3, value


def number(raw, place):
    value = shift = 0
    while True:
        byte = raw[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place


def one(raw, wanted, default=b''):
    """The last value of a field."""
    return dict(fields(raw)).get(wanted, default)


class Runtime:
    """The calls that the scenario needs. SOCKET: path of containerd's."""

    def __init__(self, path):
        self.path = path

    def sandbox(self, config):
        return one(call(self.path, 'RuntimeService', 'RunPodSandbox', message((1, config))), 1).decode()

    def create(self, sandbox, config, of):
        return one(call(self.path, 'RuntimeService', 'CreateContainer', message((1, sandbox), (2, config), (3, of))), 1).decode()

    def start(self, ident):
        call(self.path, 'RuntimeService', 'StartContainer', message((1, ident)))

    def status(self, ident):
        """What `crictl inspect` says, as far as the tests ask."""
        found = one(call(self.path, 'RuntimeService', 'ContainerStatus', message((1, ident))), 1)
        values = dict(fields(found))
        labels = {one(item, 1).decode(): one(item, 2).decode() for which, item in fields(found) if which == 12}
        mounts = [{'destination': one(item, 1).decode(), 'source': one(item, 2).decode(), 'readonly': bool(one(item, 3, 0))}
                  for which, item in fields(found) if which == 14]
        return {'id': ident, 'state': ('created', 'running', 'exited', 'unknown')[values.get(3, 0)], 'created_at': values.get(4, 0),
                'started_at': values.get(5, 0), 'finished_at': values.get(6, 0), 'exit_code': values.get(7, 0),
                'image': one(values.get(8, b''), 1).decode(), 'image_ref': values.get(9, b'').decode(), 'labels': labels, 'mounts': mounts,
                'log_path': values.get(15, b'').decode()}

    def images(self):
        """[{'id', 'tags'}] as `crictl images` lists them."""
        found = call(self.path, 'ImageService', 'ListImages')
        return [{'id': one(item, 1).decode(), 'tags': [value.decode() for which, value in fields(item) if which == 2]} for which, item in fields(found)
                if which == 1]


def sandbox_config(name, uid, log_directory, annotations=(), labels=()):
    """PodSandboxConfig of a pod on the network of the host."""
    return message((1, message((1, name), (2, uid), (3, 'shop'))), (3, log_directory), (6, pairs(dict(labels))), (7, pairs(dict(annotations))),
                   (8, message((2, message((1, message((1, NODE))))))))


def container_config(name, image, command, log_path, mounts=(), envs=(), labels=(), attempt=0):
    """ContainerConfig; MOUNTS: (place, path on the host, whether read-only)."""
    asked = [message((1, place), (2, path), (3, readonly)) for place, path, readonly in mounts]
    variables = [message((1, key), (2, value)) for key, value in envs]
    return message((1, message((1, name), (2, attempt))), (2, message((1, image))), (3, list(command)), (6, variables),
                   (7, asked), (9, pairs(dict(labels))), (11, log_path), (15, message((2, message((3, message((1, NODE))))))))
