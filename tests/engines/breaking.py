"""A small shop for tests of repairs, and all the ways to break its records, one at a time or many at once."""
import json
import os
import shutil
from typing import Any, Dict, NamedTuple, Tuple

from rig import scenario

from ansible_collections.lifeboat.docker.plugins.module_utils.formats import boltdb

WEB, DB, NET, QUIET, PLAIN, CREATED, ONCE = 'web', 'db', 'net', 'quiet', 'plain', 'created', 'once'
IMAGE, BASE = 'lifeboat/repair:1', 'lifeboat/repair-base:1'
# what a record that was made anew has lost for good, or says in other words
LOST_OF_CONFIG = frozenset({'Created', 'State', 'Config', 'NetworkSettings', 'Mounts', 'RestartCount', 'AppArmorProfile', 'Name', 'LogPath', 'SizeRw'})
LOST_OF_HOSTCONFIG = frozenset({'HostConfig', 'Mounts'})
_DOCKERFILE = '''FROM %s
RUN mkdir -p /opt/a && echo one > /opt/a/one && echo two > /opt/a/two
RUN rm /opt/a/one && echo three > /opt/three
ENV SHOP_MODE=test
CMD ["/bin/sh", "-c", "echo the image's own"]
''' % BASE


def fill(engine):
    """Images of four layers and one, volumes, a network, and a container in every state that matters to a repair."""
    docker, none = engine.docker, ('--network', 'none')
    docker('import', '-c', 'CMD ["/bin/sh"]', '-', BASE, stdin=scenario.base_tar(True))
    engine.build(scenario._context(_DOCKERFILE), IMAGE)
    docker('volume', 'create', '--label', 'com.docker.compose.project=shop', '--label', 'com.docker.compose.volume=data', 'shop_data')
    docker('volume', 'create', '--label', 'purpose=nobody uses me', 'orphan')
    docker('volume', 'create', '--opt', 'type=tmpfs', '--opt', 'device=tmpfs', '--opt', 'o=size=1m', 'options')
    docker('network', 'create', '--driver', 'bridge', '--internal', '--subnet', '10.214.0.0/24', '--label', 'of=shop', 'shop-net')
    work = 'echo data > /data/file; rm /opt/a/two; echo mine > /mine; echo said; exec sleep 100000'
    docker('run', '-d', '--name', WEB, '--hostname', 'web', '--restart', 'unless-stopped', '-e', 'A=b', '-v', 'shop_data:/data', '-v', '/srv:/mnt:ro',
           '--label', 'com.docker.compose.project=shop', *none, IMAGE, 'sh', '-c', work)
    docker('run', '-d', '--name', DB, '--log-driver', 'local', '-v', 'db:/data', '--user', '0:0', *none, IMAGE, 'sh', '-c', work)
    docker('run', '-d', '--name', NET, '--network', 'shop-net', '--ip', '10.214.0.9', IMAGE, 'sh', '-c', 'exec sleep 100000')
    docker('run', '-d', '--name', ONCE, '--rm', *none, IMAGE, 'sh', '-c', 'echo once > /once; exec sleep 100000')
    docker('run', '--name', QUIET, '--log-driver', 'none', *none, IMAGE, 'sh', '-c', 'echo quiet > /quiet')
    docker('run', '--name', PLAIN, *none, BASE, 'sh', '-c', 'echo plain > /plain')
    docker('create', '--name', CREATED, '-v', 'options:/options', *none, IMAGE)
    docker('stop', '-t', '0', DB)


class Broken(object):
    """A dead root that may be broken: paths in it, by the engine's own words. CONTAINERD: root of the containerd that serves it."""

    def __init__(self, host_root, data_root, containerd, truth):
        self.host_root = host_root
        self.path = data_root
        self.containerd = containerd
        self.truth = truth
        self.image = os.path.join(data_root, 'image/overlay2')
        self.overlay = os.path.join(data_root, 'overlay2')

    def id(self, name):
        return self.truth['containers'][name]['inspect']['Id']

    def folder(self, name, *more):
        return os.path.join(self.path, 'containers', self.id(name), *more)

    def mount(self, name, *more):
        return os.path.join(self.image, 'layerdb/mounts', self.id(name), *more)

    def upper(self, name, *more):
        ident = text(self.mount(name, 'mount-id'))
        if not ident:
            raise OSError('which folder it has is not recorded any more')
        return os.path.join(self.overlay, ident, *more)

    def chain(self, name, up):
        """layerdb folder of the layer UP below the top one of a container's image."""
        here = os.path.join(self.image, 'layerdb/sha256', text(self.mount(name, 'parent'))[7:])
        for dummy in range(up):
            here = os.path.join(self.image, 'layerdb/sha256', text(os.path.join(here, 'parent'))[7:])
        return here

    def layer(self, name, up, *more):
        """Folder of the driver of the same layer."""
        ident = text(os.path.join(self.chain(name, up), 'cache-id'))
        if not ident:
            raise OSError('which folder it has is not recorded any more')
        return os.path.join(self.overlay, ident, *more)

    def link(self, name):
        """The link in l/ of the topmost image layer of a container."""
        return os.path.join(self.overlay, 'l', text(self.layer(name, 0, 'link')))


class Impossible(OSError):
    """A root of this engine has not got what would be broken: it keeps no list of free pages, or its two trees are one."""


def text(path):
    with open(path, encoding='ascii') as stream:
        return stream.read()


def write(path, data=b''):
    with open(path, 'wb') as out:
        out.write(data)


def zeros(path):
    write(path, bytes(os.path.getsize(path)))


def garbage(path):
    os.stat(path)
    write(path, b'garbage' * 3000)


def cut(path):
    os.truncate(path, os.path.getsize(path) // 2)


def behead(path):
    """Both meta pages are gone; the pages with data are there."""
    os.stat(path)
    with open(path, 'r+b') as stream:
        stream.write(bytes(8192))


def no_free_list(path):
    """The list of free pages of both commits is garbage; the trees are whole."""
    with open(path, 'r+b') as stream:
        raw = stream.read()
        lists = [int.from_bytes(raw[meta + 48:meta + 56], 'little') for meta in (0, 4096)]
        if 0xFFFFFFFFFFFFFFFF in lists:
            raise Impossible('it is kept without such a list')
        for number in lists:
            stream.seek(number * 4096)
            stream.write(b'\xff' * 16)


def without_its_end(path):
    """The file is cut where no page with data of the newest tree lies: its list of free pages, or nothing at all."""
    with open(path, 'rb') as stream:
        db = boltdb.open_db(stream.read())
    os.truncate(path, (max(boltdb.used_pages(db)) + 1) * db.page_size)


def newest_tree(path):
    """A page that only the newest tree has is garbage; the tree before the last transaction is whole."""
    with open(path, 'r+b') as stream:
        raw = stream.read()
        newest, older = boltdb.commits(raw)
        pages = boltdb.used_pages(newest) - boltdb.used_pages(older)
        if not pages or older.damage:
            raise Impossible('the two trees are not apart')
        stream.seek(min(pages) * newest.page_size)
        stream.write(b'garbage' * 100)


def left_in_temporary_file(path):
    """The last write of a record was cut short before its rename; the record itself is empty."""
    os.rename(path, os.path.join(os.path.dirname(path), '.tmp-' + os.path.basename(path) + '123456789'))
    write(path)


def foreign(path):
    value = json.loads(text(path))
    write(path, json.dumps(dict(value, ID='f' * 64)).encode())


def file_for_link(path):
    os.unlink(path)
    write(path, b'not a link')


def link_to_itself(path):
    os.unlink(path)
    os.symlink(os.path.basename(path), path)


def all_links_files(path):
    """As a copy leaves them that follows no links."""
    for name in os.listdir(path):
        file_for_link(os.path.join(path, name))


def all_databases(path):
    for name in os.listdir(path):
        if name.endswith('.db'):
            garbage(os.path.join(path, name))


def empty_folder(path):
    shutil.rmtree(path)
    os.mkdir(path)


def removing(path):
    os.rename(path, path + '-424242-removing')


def marked_as_dead(broken):
    """A removal was begun; the layer is there."""
    path = broken.folder(QUIET, 'config.v2.json')
    value = json.loads(text(path))
    write(path, json.dumps(dict(value, State=dict(value['State'], Dead=True, RemovalInProgress=True))).encode())


def one_name(broken):
    """Two containers have one name."""
    path = broken.folder(QUIET, 'config.v2.json')
    write(path, json.dumps(dict(json.loads(text(path)), Name='/' + PLAIN)).encode())


def pid_of_another(broken):
    """The pid file names a process that lives and is no engine: this one."""
    write(os.path.join(broken.host_root, 'run/docker.pid'), b'%d' % os.getpid())


def comma_in_settings(broken):
    """daemon.json has a comma too many, and a comment."""
    path = os.path.join(broken.host_root, 'etc/docker/daemon.json')
    whole = text(path).rstrip()
    write(path, (whole[:-1].rstrip() + ', // the last\n}\n').encode())


def mark_in_settings(broken):
    """daemon.json begins with a byte order mark."""
    path = os.path.join(broken.host_root, 'etc/docker/daemon.json')
    write(path, b'\xef\xbb\xbf' + text(path).encode())


def old_name_in_settings(broken):
    """daemon.json names the data root as engines did before version 23."""
    path = os.path.join(broken.host_root, 'etc/docker/daemon.json')
    value = json.loads(text(path))
    value['graph'] = value.pop('data-root', '/var/lib/docker')
    write(path, json.dumps(value).encode())


def bad_plugin(broken):
    folder = os.path.join(broken.path, 'plugins', 'f' * 64)
    os.makedirs(folder)
    write(os.path.join(folder, 'config.json'), b'{"plugin":')


class Break(NamedTuple):
    """HURT(broken) does it. LOST {container: keys of inspect that may differ}; FORGIVEN: of images volumes networks, what may differ then.

    STEPS: codes that must be named for it. STORES: graph, containerd (the store). OPEN: codes that may stay in the plan or unresolved.
    """
    hurt: Any
    lost: Dict[str, frozenset] = {}
    forgiven: Tuple[str, ...] = ()
    steps: Tuple[str, ...] = ()
    stores: Tuple[str, ...] = ('graph',)
    open: Tuple[str, ...] = ()
    donor: bool = False                 # the unbroken root is named as a donor


BOTH = ('graph', 'containerd')
_CONFIG, _HOST = {WEB: LOST_OF_CONFIG}, {DB: LOST_OF_HOSTCONFIG}
META = 'io.containerd.metadata.v1.bolt/meta.db'
SNAPSHOTS = 'io.containerd.snapshotter.v1.overlayfs/metadata.db'
VOLUMES, NETWORKS = 'volumes/metadata.db', 'network/files/local-kv.db'


def _of(act, where):
    return lambda broken: act(where(broken))


def _config(name):
    return lambda broken: broken.folder(name, 'config.v2.json')


def _hostconfig(name):
    return lambda broken: broken.folder(name, 'hostconfig.json')


def _in_root(name):
    return lambda broken: os.path.join(broken.path, name)


def _in_containerd(name):
    return lambda broken: os.path.join(broken.containerd, name)


def _in_overlay(name):
    return lambda broken: os.path.join(broken.overlay, name)


def _repositories(broken):
    return os.path.join(broken.image, 'repositories.json')


def _options(broken):
    return os.path.join(broken.path, 'volumes/options/opts.json')


BREAKS = {
    'config empty': Break(_of(write, _config(WEB)), _CONFIG),
    'config zeros': Break(_of(zeros, _config(WEB)), _CONFIG),
    'config cut': Break(_of(cut, _config(WEB)), _CONFIG),
    'config gone': Break(_of(os.unlink, _config(WEB)), _CONFIG),
    'config of another': Break(_of(foreign, _config(WEB)), _CONFIG),
    'config left in its temporary file': Break(_of(left_in_temporary_file, _config(WEB)), stores=BOTH),
    'hostconfig empty': Break(_of(write, _hostconfig(DB)), _HOST, stores=BOTH),
    'hostconfig zeros': Break(_of(zeros, _hostconfig(DB)), _HOST, stores=BOTH),
    'hostconfig gone': Break(_of(os.unlink, _hostconfig(DB)), _HOST, stores=BOTH),
    'container folder gone': Break(_of(shutil.rmtree, lambda broken: broken.folder(WEB)), {WEB: LOST_OF_CONFIG | LOST_OF_HOSTCONFIG},
                                   steps=('CONTAINER_FOLDER', 'CONTAINER_CONFIG')),
    'mount gone': Break(_of(shutil.rmtree, lambda broken: broken.mount(QUIET)), steps=('MOUNT_ID',)),
    'mount of what ran gone': Break(_of(shutil.rmtree, lambda broken: broken.mount(WEB))),
    'mount-id empty': Break(_of(write, lambda broken: broken.mount(DB, 'mount-id'))),
    'init-id empty': Break(_of(write, lambda broken: broken.mount(QUIET, 'init-id'))),
    'init-id gone': Break(_of(os.unlink, lambda broken: broken.mount(QUIET, 'init-id'))),
    'mount parent empty': Break(_of(write, lambda broken: broken.mount(WEB, 'parent'))),
    'mount parent gone': Break(_of(os.unlink, lambda broken: broken.mount(DB, 'parent'))),
    'cache-id empty': Break(_of(write, lambda broken: os.path.join(broken.chain(WEB, 1), 'cache-id'))),
    'cache-id gone': Break(_of(os.unlink, lambda broken: os.path.join(broken.chain(WEB, 0), 'cache-id'))),
    'diff gone': Break(_of(os.unlink, lambda broken: os.path.join(broken.chain(WEB, 1), 'diff'))),
    'size gone': Break(_of(os.unlink, lambda broken: os.path.join(broken.chain(PLAIN, 0), 'size'))),
    'all layer records gone': Break(_of(shutil.rmtree, lambda broken: os.path.join(broken.image, 'layerdb/sha256')), open=('LAYER_TAR_SPLIT',)),
    'diff empty': Break(_of(write, lambda broken: os.path.join(broken.chain(WEB, 0), 'diff'))),
    'size empty': Break(_of(write, lambda broken: os.path.join(broken.chain(WEB, 1), 'size'))),
    'parent empty': Break(_of(write, lambda broken: os.path.join(broken.chain(WEB, 0), 'parent'))),
    'parent gone': Break(_of(os.unlink, lambda broken: os.path.join(broken.chain(WEB, 0), 'parent'))),
    'layer record gone': Break(_of(shutil.rmtree, lambda broken: broken.chain(WEB, 1)), open=('LAYER_TAR_SPLIT',)),
    'layer record an empty folder': Break(_of(empty_folder, lambda broken: broken.chain(WEB, 0)), open=('LAYER_TAR_SPLIT',)),
    'layer removing': Break(_of(removing, lambda broken: broken.chain(WEB, 0))),
    'file of image layer empty': Break(_of(write, lambda broken: broken.layer(WEB, 0, 'diff/opt/three')), donor=True),
    'image layer gone': Break(_of(shutil.rmtree, lambda broken: broken.layer(WEB, 1)), donor=True),
    'links gone': Break(_of(shutil.rmtree, _in_overlay('l'))),
    'links emptied': Break(_of(empty_folder, _in_overlay('l'))),
    'one link gone': Break(_of(os.unlink, lambda broken: broken.link(WEB))),
    'link became a file': Break(_of(file_for_link, lambda broken: broken.link(WEB))),
    'all links became files': Break(_of(all_links_files, _in_overlay('l'))),
    'link to itself': Break(_of(link_to_itself, lambda broken: broken.link(WEB))),
    'link file empty': Break(_of(write, lambda broken: broken.layer(WEB, 1, 'link'))),
    'lower of container empty': Break(_of(write, lambda broken: broken.upper(DB, 'lower'))),
    'lower of container gone': Break(_of(os.unlink, lambda broken: broken.upper(WEB, 'lower'))),
    'lower of init empty': Break(_of(write, lambda broken: os.path.join(broken.upper(QUIET) + '-init', 'lower'))),
    'link file of container empty': Break(_of(write, lambda broken: broken.upper(DB, 'link'))),
    'lower of init gone': Break(_of(os.unlink, lambda broken: os.path.join(broken.upper(NET) + '-init', 'lower'))),
    'lower of layer gone': Break(_of(os.unlink, lambda broken: broken.layer(WEB, 1, 'lower'))),
    'lower of layer empty': Break(_of(write, lambda broken: broken.layer(WEB, 0, 'lower'))),
    'work gone': Break(_of(shutil.rmtree, lambda broken: broken.upper(CREATED, 'work'))),
    'init layer gone': Break(_of(shutil.rmtree, lambda broken: broken.upper(QUIET) + '-init')),
    'repositories empty': Break(_of(write, _repositories), steps=('REPOSITORIES',)),
    'repositories zeros': Break(_of(zeros, _repositories), steps=('REPOSITORIES',)),
    'repositories gone': Break(_of(os.unlink, _repositories), steps=('REPOSITORIES',)),
    'volumes db garbage': Break(_of(garbage, _in_root(VOLUMES)), forgiven=('volumes',), stores=BOTH),
    'volumes db without head': Break(_of(behead, _in_root(VOLUMES)), stores=BOTH),
    'volumes db without free list': Break(_of(no_free_list, _in_root(VOLUMES)), stores=BOTH),
    'volumes db empty': Break(_of(write, _in_root(VOLUMES)), forgiven=('volumes',), stores=BOTH),
    'volumes db gone': Break(_of(os.unlink, _in_root(VOLUMES)), forgiven=('volumes',), stores=BOTH),
    'volumes db zeros': Break(_of(zeros, _in_root(VOLUMES)), forgiven=('volumes',), stores=BOTH),
    'volumes db cut': Break(_of(cut, _in_root(VOLUMES)), forgiven=('volumes',), stores=BOTH),
    'volumes db newest tree': Break(_of(newest_tree, _in_root(VOLUMES)), forgiven=('volumes',), stores=BOTH),
    'volume options empty': Break(_of(write, _options), steps=('VOLUME_OPTIONS_ASIDE',), stores=BOTH),
    'volume options garbage': Break(_of(garbage, _options), steps=('VOLUME_OPTIONS_ASIDE',), stores=BOTH),
    'volume data gone': Break(_of(shutil.rmtree, _in_root('volumes/db/_data')), steps=('VOLUME_DATA',), stores=BOTH),
    'network db garbage': Break(_of(garbage, _in_root(NETWORKS)), forgiven=('networks',), stores=BOTH),
    'network db without head': Break(_of(behead, _in_root(NETWORKS)), stores=BOTH),
    'network db without free list': Break(_of(no_free_list, _in_root(NETWORKS)), stores=BOTH),
    'network db zeros': Break(_of(zeros, _in_root(NETWORKS)), forgiven=('networks',), stores=BOTH),
    'network db cut': Break(_of(cut, _in_root(NETWORKS)), forgiven=('networks',), stores=BOTH),
    'network db newest tree': Break(_of(newest_tree, _in_root(NETWORKS)), forgiven=('networks',), stores=BOTH),
    'network db empty': Break(_of(write, _in_root(NETWORKS)), forgiven=('networks',), stores=BOTH, open=('NETWORK_DB',)),
    'network db gone': Break(_of(os.unlink, _in_root(NETWORKS)), forgiven=('networks',), stores=BOTH, open=('NETWORK_DB',)),
    'all of buildkit garbage': Break(_of(all_databases, _in_root('buildkit')), stores=BOTH),
    'buildkit garbage': Break(_of(garbage, _in_root('buildkit/cache.db'))),
    'containerd garbage': Break(_of(garbage, _in_containerd(META))),
    'containerd without free list': Break(_of(no_free_list, _in_containerd(META)), stores=BOTH),
    'containerd newest tree': Break(_of(newest_tree, _in_containerd(META)), stores=BOTH, steps=('DB_OLDER_TREE',)),
    'containerd shorter than it says': Break(_of(without_its_end, _in_containerd(META)), stores=BOTH),
    'marked as dead': Break(marked_as_dead, stores=BOTH),
    'one name for two': Break(one_name, {QUIET: frozenset({'Name'}), PLAIN: frozenset({'Name'})}, steps=('CONTAINER_NAME',), stores=BOTH),
    'pid file of another': Break(pid_of_another, stores=BOTH),
    'comma in daemon.json': Break(comma_in_settings, steps=('DAEMON_JSON',), stores=BOTH),
    'mark in daemon.json': Break(mark_in_settings, steps=('DAEMON_JSON',), stores=BOTH),
    'old name in daemon.json': Break(old_name_in_settings, steps=('DAEMON_JSON',), stores=BOTH),
    'plugin damaged': Break(bad_plugin, steps=('PLUGIN',), stores=BOTH),
    'snapshots newest tree': Break(_of(newest_tree, _in_containerd(SNAPSHOTS)), steps=('DB_OLDER_TREE',), stores=('containerd',)),
    'snapshots without free list': Break(_of(no_free_list, _in_containerd(SNAPSHOTS)), stores=('containerd',)),
}
# several at once that do not touch each other's sources: one start of an engine proves them all
GROUPS = {
    'records': ('links gone', 'cache-id empty', 'diff empty', 'lower of container empty', 'mount parent gone', 'repositories zeros', 'volumes db without head',
                'network db without head', 'buildkit garbage', 'config empty'),
    'layers': ('layer removing', 'lower of container gone', 'init layer gone', 'init-id empty', 'work gone', 'mount-id empty', 'hostconfig zeros',
               'containerd garbage', 'volume options empty', 'pid file of another', 'marked as dead'),
    'donor': ('file of image layer empty', 'image layer gone'),
    'store': ('hostconfig zeros', 'volume options empty', 'volumes db without free list', 'network db without head', 'containerd shorter than it says',
              'snapshots without free list', 'pid file of another', 'comma in daemon.json', 'marked as dead', 'one name for two'),
}
# the others, as many at a time as do not touch each other's sources: a soak
_MORE = {
    'more 1': ('config left in its temporary file', 'hostconfig gone', 'one link gone', 'diff gone', 'size gone', 'cache-id gone', 'mount of what ran gone',
               'link file of container empty', 'volumes db newest tree', 'network db newest tree', 'containerd without free list', 'plugin damaged',
               'mark in daemon.json', 'repositories gone'),
    'more 2': ('config cut', 'hostconfig empty', 'mount parent gone', 'all links became files', 'lower of init gone', 'lower of layer gone', 'work gone',
               'init-id gone', 'size empty', 'parent gone', 'volumes db cut', 'network db cut', 'all of buildkit garbage', 'old name in daemon.json',
               'repositories empty'),
    'more 3': ('config zeros', 'all layer records gone', 'links emptied', 'mount gone', 'volumes db zeros', 'network db zeros', 'containerd newest tree',
               'volume data gone'),
    'more 4': ('config gone', 'link became a file', 'lower of layer empty', 'layer record an empty folder', 'init layer gone', 'volumes db garbage',
               'network db garbage', 'volume options garbage', 'one name for two', 'marked as dead'),
    'more 5': ('config of another', 'layer record gone', 'link to itself', 'lower of init empty', 'volumes db gone', 'network db gone',
               'containerd shorter than it says', 'comma in daemon.json'),
    'more 6': ('container folder gone', 'mount-id empty', 'link file empty', 'volumes db empty', 'network db empty', 'pid file of another'),
    'more 7': ('network db without free list', 'mount parent empty', 'parent empty', 'volumes db without free list'),
}
_MORE_OF_STORE = {
    'more 1': ('config left in its temporary file', 'hostconfig gone', 'volumes db newest tree', 'network db newest tree', 'containerd without free list',
               'plugin damaged', 'mark in daemon.json', 'snapshots without free list'),
    'more 2': ('hostconfig empty', 'volumes db cut', 'network db cut', 'all of buildkit garbage', 'old name in daemon.json', 'containerd newest tree'),
    'more 3': ('volumes db zeros', 'network db zeros', 'snapshots newest tree', 'volume data gone', 'one name for two'),
    'more 4': ('volumes db garbage', 'network db garbage', 'volume options garbage', 'comma in daemon.json'),
    'more 5': ('volumes db empty', 'network db empty', 'hostconfig zeros'),
    'more 6': ('volumes db gone', 'network db gone', 'volume options empty'),
    'more 7': ('volumes db without head', 'network db without free list'),
}


def groups_for(store, soak):
    """{name: names of breaks} of all that are tried at once on a root with a STORE (graph or containerd)."""
    found = {name: names for name, names in GROUPS.items() if (name == 'store') == (store == 'containerd')}
    return dict(found, **((_MORE_OF_STORE if store == 'containerd' else _MORE) if soak else {}))


def names_for(store):
    """Names of all breaks that there can be with a STORE (graph or containerd)."""
    return [name for name, one in BREAKS.items() if store in one.stores]


def together(names):
    """One Break of all of NAMES."""
    lost: Dict[str, frozenset] = {}
    for name in names:
        for container, keys in BREAKS[name].lost.items():
            lost[container] = lost.get(container, frozenset()) | keys

    def hurt(broken):
        for name in names:
            try:
                BREAKS[name].hurt(broken)
            except Impossible as why:
                print('%s: not possible here: %s' % (name, why))
    flat = [tuple(sorted({each for name in names for each in getattr(BREAKS[name], field)})) for field in ('forgiven', 'steps', 'stores', 'open')]
    return Break(hurt, lost, *flat, donor=any(BREAKS[name].donor for name in names))
