"""The shop: images, volumes, containers and their contents, with which an engine is filled before it dies.

Everything is made by the engine itself as users make it (builds, runs, commits, renames); only what its small image
has no tools for is done from outside, in the running container's own file system. What came of it is in the truth that
truth.py records.
"""
import hashlib
import io
import json
import os
import shutil
import tarfile

from . import wild
from .common import not_installed, run

# A value that must never be seen in facts, reports or logs of the collection.
SECRET = 'hunter2-Xq7-never-show-this'
BASE = 'lifeboat/base:1'
SHOP = 'lifeboat/shop:1'
COMMITTED = 'lifeboat/committed:1'
LOADED = 'lifeboat/loaded:1'
KIT = 'lifeboat/kit:1'
_YEAR_2001 = 978307200

_APPLETS = [
    'sh', 'ash', 'cat', 'ls', 'echo', 'sleep', 'mkdir', 'rm', 'rmdir', 'ln', 'cp', 'mv', 'chmod',
    'chown', 'touch', 'seq', 'head', 'tail', 'tr', 'dd', 'printf', 'true', 'false', 'env', 'id',
    'mount', 'umount', 'mkfifo', 'mknod', 'kill', 'test', 'wc', 'sync', 'stat', 'readlink']

_DOCKERFILE = '''
FROM lifeboat/base:1
LABEL org.opencontainers.image.title="shop" vendor.line="a=b c"
ENV SHOP_MODE=production SHOP_TOKEN={secret} EMPTY=
RUN mkdir -p /opt/app/lib && echo 'v1' > /opt/app/version && seq 1 2000 > /opt/app/lib/numbers
RUN rm -rf /opt/from-base/gone /opt/from-base/file-gone && chmod 0700 /opt/from-base/mode
RUN rm -rf /opt/from-base/replaced && mkdir /opt/from-base/replaced && echo new > /opt/from-base/replaced/new
COPY files /opt/app/files
RUN echo 'v2' > /opt/app/version && ln /opt/app/version /opt/app/version-hard && ln -s version /opt/app/version-link \\
 && chown 1000:1000 /opt/app/files/a && chmod 4755 /opt/app/files/b && rm /opt/app/files/gone
RUN rm -rf /opt/app/lib && mkdir /opt/app/lib && echo again > /opt/app/lib/again \\
 && echo 'from the image' > /data/seed && chown 999:999 /data/seed
VOLUME ["/data", "/var/cache/shop"]
WORKDIR /opt/app
EXPOSE 8080/tcp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=1h CMD true
ENTRYPOINT ["/bin/sh", "-c"]
CMD ["sleep 100000"]
'''

# what only BuildKit can; the second part wants the Dockerfile syntax that came with Docker 23
_DOCKERFILE_KIT = '''
FROM lifeboat/base:1 AS maker
RUN --mount=type=cache,target=/cache mkdir -p /made/deep && echo made > /made/deep/file && echo warm > /cache/warm
COPY --chown=999:998 files /made/files
FROM lifeboat/base:1 AS unused
RUN echo 'nobody takes this' > /unused
FROM lifeboat/base:1
COPY --from=maker --chown=5:6 /made /opt/made
RUN rm -rf /opt/from-base/gone /opt/from-base/replaced && mkdir /opt/from-base/replaced && ln /opt/made/deep/file /opt/made/hard
COPY files/a /opt/from-base/replaced/a
RUN rm /opt/made/files/gone && chmod 2750 /opt/made/deep
'''
_DOCKERFILE_KIT_NEWER = '''
COPY --link files /opt/linked
RUN <<EOF
mkdir -p /opt/heredoc
echo "of a heredoc" > /opt/heredoc/run
EOF
COPY --link <<EOF /opt/heredoc/copied
copied
EOF
'''


def _busybox():
    for path in ('/bin/busybox', '/usr/bin/busybox'):
        if os.path.exists(path):
            kind = run(['file', '-L', path], check=False).stdout if shutil.which('file') else b'static'
            if b'static' in kind:
                with open(path, 'rb') as handle:
                    return handle.read()
    raise not_installed('busybox-static')


class _Base:
    """The tar of the base image: a busybox, and under /pristine what wild.change_image() changes."""

    def __init__(self):
        self.buffer = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.buffer, mode='w', format=tarfile.PAX_FORMAT)

    def add(self, name, data=None, mode=0o644, kind=tarfile.REGTYPE, link='', owner=(0, 0), pax=None):
        """One member; a folder if there is neither data nor another kind."""
        item = tarfile.TarInfo(name)
        item.type = kind if data is not None or kind != tarfile.REGTYPE else tarfile.DIRTYPE
        item.mode = mode if item.type != tarfile.DIRTYPE else (0o755 if mode == 0o644 else mode)
        item.mtime, item.linkname, item.pax_headers = _YEAR_2001, link, pax or {}
        item.uid, item.gid = owner
        item.size = len(data or b'') if item.isreg() else 0
        self.tar.addfile(item, io.BytesIO(data or b''))

    def finish(self):
        """The bytes of the archive."""
        self.tar.close()
        return self.buffer.getvalue()


def base_tar(privileged=True):
    """Bytes of the base image's only layer."""
    base = _Base()
    far = (wild.FAR_UID, wild.FAR_GID) if privileged else (60000, 60001)
    for folder in ('bin', 'etc', 'root', 'home', 'proc', 'sys', 'dev', 'tmp', 'var', 'opt', 'data', 'pristine', 'srv',
                   'home/user'):
        base.add(folder, mode=0o1777 if folder == 'tmp' else 0o755)
    base.add('bin/busybox', _busybox(), mode=0o755)
    for applet in _APPLETS:
        base.add('bin/' + applet, kind=tarfile.SYMTYPE, link='busybox', mode=0o777)
    base.add('etc/passwd', b'root:x:0:0:root:/root:/bin/sh\nshop:x:999:998::/home/user:/bin/sh\n')
    base.add('etc/group', b'root:x:0:\nshop:x:998:\n')
    base.add('etc/os-release', b'ID=lifeboat\nNAME="Lifeboat test image"\n')
    for name in ('gone/inner', 'file-gone', 'mode/file', 'replaced/old', 'replaced/deep/old', 'kept/file'):
        if '/' in name and name.count('/') == 1:
            base.add('opt/from-base/' + name.split('/')[0])  # pylint: disable=use-maxsplit-arg
        base.add('opt/from-base/' + name, name.encode())
    base.add('opt/far', b'a far owner', owner=far)
    base.add('opt/capable', b'capable', mode=0o755, pax={
        'SCHILY.xattr.security.capability': os.fsdecode(wild.capability(1 << 10))} if privileged else None)
    base.add('opt/setuid', b'setuid', mode=0o4755)
    for name in wild.PRISTINE_FILES:
        base.add('pristine/' + name, ('as in the image: %s\n' % name).encode())
    base.add('pristine/hard-1', b'four names\n')
    for name in ('hard-2', 'hard-3', 'hard-4'):
        base.add('pristine/' + name, kind=tarfile.LNKTYPE, link='pristine/hard-1')
    for name in ('link-replaced', 'link-retargeted', 'link-untouched'):
        base.add('pristine/' + name, kind=tarfile.SYMTYPE, link='untouched', mode=0o777)
    for folder in wild.PRISTINE_DIRS:
        folder = 'pristine/' + folder
        base.add(folder)
        base.add(folder + '/one', b'one')
        base.add(folder + '/two', b'two', mode=0o600, owner=(999, 998))
        base.add(folder + '/kept-name')
        base.add(folder + '/kept-name/old', b'old')
        base.add(folder + '/sub')
        base.add(folder + '/sub/kept-name')
        base.add(folder + '/sub/kept-name/old', b'old')
    return base.finish()


def _context(dockerfile, files=()):
    """Bytes of a build context."""
    base = _Base()
    base.add('Dockerfile', dockerfile.encode())
    for name, data in files:
        base.add(name, data)
    return base.finish()


def build_images(engine):
    """Base and shop, by an import and a real build; an earlier build of the shop stays behind without its tag."""
    engine.docker('import', '-c', 'CMD ["/bin/sh"]', '-m', 'made for tests', '-', BASE,
                  stdin=base_tar(not engine.kind.userns))
    files = [('files/a', b'a' * 3000), ('files/b', b'b'), ('files/gone', b'gone'), ('files/deep/er', b'deeper')]
    dockerfile = _DOCKERFILE.format(secret=SECRET)
    first = dockerfile[:dockerfile.index('COPY')] + 'CMD ["/bin/sh", "-c", "echo the first build"]\n'
    engine.build(_context(first, files), SHOP)
    engine.docker('run', '--name', 'shop-old', '--network', 'none', SHOP)
    engine.build(_context(dockerfile, files), SHOP, 'lifeboat/shop:latest', 'registry.example.test:5000/team/shop:1.0')
    kit = _DOCKERFILE_KIT + (_DOCKERFILE_KIT_NEWER if engine.kind.newer else '')
    engine.build(_context(kit, files), KIT, buildkit=True)
    # on top of it by each builder; the middle layers of the first are BuildKit's, those of the second dockerd's
    engine.build(_context('FROM %s\nRUN echo classic > /opt/made/classic && rm /opt/made/deep/file\n' % KIT), KIT + '-classic')
    engine.build(_context('FROM %s\nRUN rm -rf /opt/app/lib && echo kit > /opt/app/kit\n' % SHOP), KIT + '-shop', buildkit=True)


def loadable(layers, tag, config=None):
    """Bytes of an archive for `docker load`: `layers` are tars (bytes), bottom first."""
    diff_ids = ['sha256:' + hashlib.sha256(layer).hexdigest() for layer in layers]
    machine = os.uname().machine
    text = json.dumps({'architecture': {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(machine, machine), 'os': 'linux',
                       'created': '2020-01-02T03:04:05.678901234Z', 'config': config or {'Cmd': ['/bin/sh']},
                       'rootfs': {'type': 'layers', 'diff_ids': diff_ids},
                       'history': [{'created_by': 'layer %d' % number} for number in range(len(layers))]}).encode()
    names = ['%s/layer.tar' % diff_id[7:] for diff_id in diff_ids]
    config_name = hashlib.sha256(text).hexdigest() + '.json'
    archive = _Base()
    archive.add(config_name, text)
    for name, layer in zip(names, layers):
        archive.add(os.path.dirname(name))
        archive.add(name, layer)
    archive.add('manifest.json', json.dumps([{'Config': config_name, 'RepoTags': [tag], 'Layers': names}]).encode())
    return archive.finish()


def load_image(engine):
    """An image from elsewhere whose upper layer has a whiteout and an opaque folder, as its tar notes them."""
    upper = _Base()
    upper.add('opt')
    upper.add('opt/from-base')
    upper.add('opt/from-base/.wh.file-gone', b'')
    upper.add('opt/from-base/replaced')
    upper.add('opt/from-base/replaced/.wh..wh..opq', b'')
    upper.add('opt/from-base/replaced/loaded', b'from the loaded layer')
    layers = [base_tar(not engine.kind.userns), upper.finish()]
    engine.docker('load', stdin=loadable(layers, LOADED))
    engine.docker('run', '--name', 'shop-loaded', '--network', 'none', LOADED, 'sh', '-c',
                  'cd /opt/from-base; rm replaced/loaded; echo mine > replaced/mine; rm -rf kept; mkdir kept')


def _compose(service, number):
    labels = {'project': 'shop', 'service': service, 'container-number': str(number), 'oneoff': 'False',
              'project.working_dir': '/srv/shop', 'project.config_files': '/srv/shop/compose.yaml',
              'version': '2.20.0', 'config-hash': 'a' * 64}
    return [item for key, value in labels.items() for item in ('--label', 'com.docker.compose.%s=%s' % (key, value))]


def make_volumes(engine):
    """Named volumes of every sort."""
    engine.docker('volume', 'create', '--label', 'com.docker.compose.project=shop', '--label',
                  'com.docker.compose.volume=data', 'shop-data')
    engine.docker('volume', 'create', 'shop-db')
    engine.docker('volume', 'create', '--label', 'purpose=nobody uses me', 'shop-orphan')
    os.makedirs(engine.outside('/srv/shop/device'))
    engine.docker('volume', 'create', '--driver', 'local', '--opt', 'type=none', '--opt', 'o=bind',
                  '--opt', 'device=/srv/shop/device', 'shop-opt-bind')
    engine.docker('volume', 'create', '--opt', 'type=tmpfs', '--opt', 'device=tmpfs', '--opt', 'o=size=1m,uid=1000',
                  'shop-opt-tmpfs')


def compose_file():
    """What shop-web-1 and shop-db-1 are by Compose. shop-web-2 was made by hand: another network and other volumes."""
    def command(text):
        return json.dumps([text.replace('$', '$$')])
    return ('''services:
  web:
    image: %s
    command: %s
    environment: {SHOP_PASSWORD: "${SHOP_PASSWORD}", MULTI: "line one\\nline two", EQUALS: a=b=c}
    ports: ["18080:8080"]
    volumes: ["data:/data", "./conf:/etc/shop:ro", "./wild:/mnt/wild", "./one-file.conf:/etc/one-file.conf:ro"]
    tmpfs: /scratch:size=4m,mode=1777
    network_mode: ${SHOP_NETWORK:-none}
  db: {image: "%s", command: %s, volumes: ["db:/data"], network_mode: none}
volumes: {data: {name: shop-data}, db: {name: shop-db, external: true}}
''' % (SHOP, command(WEB), SHOP, command(_LOG_BOTH.format(n=1500) + 'exec sleep 100000'))).encode()


def make_binds(engine):
    """What the host itself has, outside the data root."""
    os.makedirs(engine.outside('/srv/shop/conf'))
    wild.write(engine.outside('/srv/shop/conf/shop.ini'), b'[shop]\nname = Eck\n', mode=0o640, owner=(0, 999))
    wild.write(engine.outside('/srv/shop/one-file.conf'), b'a bind of one file\n', owner=(33, 33))
    wild.write(engine.outside('/srv/shop/compose.yaml'), compose_file())
    wild.write(engine.outside('/srv/shop/.env'), ("SHOP_PASSWORD='%s'\n" % SECRET).encode(), mode=0o600)
    wild.inside(engine.outside('/srv/shop'), wild.fill, b'/wild', True, True, 64 << 20)


WEB = 'echo started; echo complaint >&2; printf "no newline at the end"; exec sleep 100000'
_LOG_BOTH = ('i=0; while [ $i -lt {n} ]; do i=$((i+1)); echo "out line $i of a log that is long enough to rotate"; '
             'echo "err line $i" >&2; [ $((i % 40)) -ne 0 ] || sleep 0.02; done; ')


def make_containers(engine):
    """All containers, in every state; the running ones are left running."""
    docker = engine.docker
    common = ('--network', 'none')
    # without systemd a rootless engine has no control groups
    limits = () if engine.kind.rootless else ('--memory', '64m', '--cpus', '0.5', '--pids-limit', '100')
    docker('run', '-d', '--name', 'shop-web-1', '--hostname', 'web', '--restart', 'unless-stopped', *limits, '--ulimit', 'nofile=1024:2048',
           '--cap-add', 'NET_ADMIN', '--cap-drop', 'MKNOD', '--shm-size', '16m', '-p', '18080:8080', '-e', 'SHOP_PASSWORD=' + SECRET,
           '-e', 'MULTI=line one\nline two', '-e', 'EQUALS=a=b=c', '-v', 'shop-data:/data',
           '-v', '/srv/shop/conf:/etc/shop:ro', '-v', '/srv/shop/wild:/mnt/wild',
           '--mount', 'type=bind,source=/srv/shop/one-file.conf,target=/etc/one-file.conf,readonly',
           '--tmpfs', '/scratch:size=4m,mode=1777', '--log-opt', 'max-size=1m', '--log-opt', 'max-file=3',
           '--log-opt', 'labels=com.docker.compose.service', '--log-opt', 'env=SHOP_MODE', *common, *_compose('web', 1),
           SHOP, WEB)
    docker('run', '-d', '--name', 'shop-db-1', '--log-driver', 'local', '--log-opt', 'max-size=20k', '--log-opt',
           'max-file=3', '-v', 'shop-db:/data', '--user', '999:998', *common, *_compose('db', 1), SHOP,
           _LOG_BOTH.format(n=1500) + 'exec sleep 100000')
    # the engine copies both streams at once: the pause keeps a line of one out of the middle of a long line of the other
    docker('run', '-d', '--name', 'shop-logger', '--log-opt', 'max-size=20k', '--log-opt', 'max-file=4', '--log-opt',
           'compress=true', '--log-opt', 'tag={{.Name}}', *common, SHOP, _LOG_BOTH.format(n=600) +
           'sleep 0.5; head -c 40000 /dev/zero | tr "\\0" x; echo; printf "bytes \\377\\001\\t\\r\\n\\n"; exit 3')
    docker('run', '-d', '--name', 'shop-logger-local', '--log-driver', 'local', '--log-opt', 'compress=false', *common,
           SHOP, 'echo short; head -c 40000 /dev/zero | tr "\\0" y; echo; sleep 0.5; echo e >&2; exit 0')
    docker('run', '-d', '--rm', '--name', 'shop-once', *common, SHOP, 'echo once > /data/once; exec sleep 100000')
    docker('run', '-d', '--name', 'shop-plain', *common, BASE, 'true')
    docker('run', '-d', '--name', 'shop-quiet', '--log-driver', 'none', *common, SHOP, 'echo unheard')
    docker('run', '-d', '--name', 'shop-tty', '-t', *common, SHOP, 'echo colour; echo two >&2; exec sleep 100000')
    docker('run', '-d', '--name', 'shop-hostile', '--entrypoint', '/bin/busybox', *common, BASE, 'sleep', '100000')
    docker('run', '-d', '--name', 'shop-sparse', *common, BASE, 'sleep', '100000')
    docker('run', '-d', '--name', 'shop-paused', '--read-only', *common, SHOP, 'echo frozen; exec sleep 100000')
    docker('run', '-d', '--name', 'shop-before', '--volumes-from', 'shop-web-1', *common, SHOP,
           'echo before; sleep 100000')
    docker('rename', 'shop-before', 'shop-renamed')
    docker('network', 'create', '--driver', 'bridge', '--internal', '--subnet', '10.213.0.0/24', 'shop-net')
    docker('run', '-d', '--name', 'shop-web-2', '--network', 'shop-net', '--network-alias', 'web', '--network-alias',
           'shop.example.test', '--ip', '10.213.0.9', '-v', 'shop-opt-bind:/device', '-v', 'shop-opt-tmpfs:/data',
           *_compose('web', 2), SHOP, 'echo on a device > /device/written; exec sleep 100000')
    docker('run', '--name', 'shop-kit', *common, KIT, 'sh', '-c',
           'rm -rf /opt/made/files; mkdir /opt/made/files; echo mine > /opt/made/files/mine; rm /opt/from-base/file-gone')
    docker('run', '--name', 'shop-kit-classic', *common, KIT + '-classic', 'sh', '-c', 'rm -r /opt/made; echo all > /opt/made')
    docker('run', '--name', 'shop-kit-shop', *common, KIT + '-shop', 'echo changed >> /opt/app/kit; rm /opt/app/version')
    if engine.kind.newer:               # 28.0 is the first with mounts of images
        docker('run', '-d', '--name', 'shop-image-mount', '--mount', 'type=image,source=%s,target=/tools' % KIT, *common, BASE,
               'sh', '-c', 'cat /tools/opt/heredoc/run > /copied; exec sleep 100000')
    docker('create', '--name', 'shop-created', '-v', 'shop-created:/data', '-v', '/srv/shop/missing:/missing',
           '--restart', 'on-failure:3', '--env', 'PASSWORD=' + SECRET, *common, SHOP, 'echo never')
    docker('run', '--name', 'shop-removed', '-v', '/only-anonymous', *common, BASE, 'sh', '-c',
           'echo left behind > /only-anonymous/file')
    docker('rm', 'shop-removed')


def make_contents(engine):
    """Files: by the containers' own programs where they can, from outside where they cannot."""
    privileged = not engine.kind.userns

    def space(name):
        return {'userns_of': None if privileged else engine.container_pid(name)}

    def root(name):
        return '/proc/%d/root' % engine.container_pid(name)

    engine.docker('exec', 'shop-web-1', 'sh', '-c',
                  'echo page > /opt/app/page.html; rm /opt/app/files/a; echo more >> /opt/app/version; '
                  'echo x > /scratch/x; echo cached > /var/cache/shop/item; mkdir -p /var/lib/postgresql/data; '
                  'echo 15 > /var/lib/postgresql/data/PG_VERSION')
    engine.docker('exec', 'shop-db-1', 'sh', '-c', 'umask 077; echo rows > /tmp/rows')
    wild.inside(root('shop-web-1'), wild.change_image, privileged, **space('shop-web-1'))
    wild.inside(root('shop-web-1'), wild.fill, b'/srv/wild', privileged, False, 1 << 20, **space('shop-web-1'))
    wild.inside(root('shop-renamed'), wild.change_image, privileged, **space('shop-renamed'))
    wild.inside(root('shop-sparse'), _sparse_only, **space('shop-sparse'))
    run(['nsenter', '--target', str(engine.container_pid('shop-hostile')), '--mount', '--root', '/bin/busybox', 'sh',
         '-c', 'for f in hosts hostname resolv.conf; do /bin/busybox umount /etc/$f; done'])
    wild.inside(root('shop-hostile'), wild.plant_links, **space('shop-hostile'))
    for volume in ('shop-data', 'shop-orphan'):
        wild.inside(os.path.join(engine.data_root, 'volumes', volume, '_data'), wild.fill, b'/wild', privileged, True,
                    wild.SPARSE if volume == 'shop-data' else 1 << 20, **space('shop-web-1'))


def _sparse_only():
    os.mkdir('/var/big')
    wild.sparse('/var/big/sparse.img')


def settle(engine):
    """The last commands before the death: stops, a pause, a commit and a container of it, a bind that goes missing."""
    docker = engine.docker
    docker('wait', 'shop-logger', 'shop-logger-local', 'shop-plain', 'shop-quiet')
    docker('commit', '-m', 'everything at once', '-c', 'ENV COMMITTED=yes', 'shop-web-1', COMMITTED)
    docker('run', '--name', 'shop-from-commit', '--network', 'none', '--entrypoint', '/bin/sh', COMMITTED, '-c',
           'rm -rf /srv/wild/many /pristine/dir-opaque; mkdir /pristine/dir-opaque; echo 2 > /srv/wild/new; '
           'rm /srv/wild/links/hard-b; echo done; echo and gone >&2')
    docker('stop', '-t', '0', 'shop-db-1', 'shop-sparse', 'shop-renamed')
    docker('start', 'shop-plain')
    docker('wait', 'shop-plain')
    if not engine.kind.rootless:        # needs a control group
        docker('pause', 'shop-paused')
    missing = engine.outside('/srv/shop/missing')
    if os.path.isdir(missing):
        os.rmdir(missing)


def fill_engine(engine):
    """Fill an empty engine with the whole shop."""
    for step in (build_images, load_image, make_volumes, make_binds, make_containers, make_contents, settle):
        step(engine)
