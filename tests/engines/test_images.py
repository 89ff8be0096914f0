"""Images made from dead roots, loaded by healthy engines of other kinds, and compared with what the dead engine said. LIFEBOAT_SOAK:
more pairs of them."""
import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
import tarfile

import pytest
import rescued
from rig import fixtures, listing, scenario

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import store
from ansible_collections.lifeboat.docker.plugins.module_utils.images import (
    container as image,
    integrity,
    store as imagestore,
)

# from, to: both ways between the two stores, and the old engine with the new one
PAIRS = fixtures.some(
    [('debian-overlay2', 'newer-containerd'), ('newer-containerd', 'debian-overlay2'), ('newer-overlay2', 'newer-containerd'),
     ('newer-containerd-packaged', 'newer-overlay2')],
    [('debian-overlay2', 'newer-overlay2'), ('newer-containerd', 'newer-containerd'), ('debian-overlay2', 'debian-overlay2')])
OTHERS = fixtures.some([('debian-btrfs', 'newer-overlay2'), ('debian-userns', 'newer-containerd')], [('debian-vfs', 'newer-containerd')])
CHOSEN = ('shop-web-1', 'shop-renamed', 'shop-from-commit', 'shop-loaded', 'shop-plain', 'shop-hostile', 'shop-old')
# container, whether it gets a file of its own
CONFIG = ('Entrypoint', 'Cmd', 'Env', 'User', 'WorkingDir', 'Volumes', 'Labels', 'StopSignal', 'Healthcheck', 'ExposedPorts')


class Written:
    """Bundles with images of a dead root: `single` each with image.tar, `shared` with hard links into images/."""

    def __init__(self, root, dest):
        self.root = root
        self.dest = dest
        self.records = {}
        for form in ('single', 'shared'):
            self._write(form)

    def _write(self, form):
        holder = store.FolderStore(os.fsencode(os.path.join(self.dest, form)), b'dead')
        holder.prepare()
        with rescued.open_host(self.root) as host:
            found = [(one, one.container(ident)) for one in host.roots for ident in one.container_ids()]
            found = [(one, container) for one, container in found if container.name in CHOSEN]
            shared = imagestore.ImageStore(os.path.join(holder.path, imagestore.NAME), 1 << 20) if form == 'shared' else None
            for one, container in found if shared is not None else ():
                shared.expect(one.image_of(container))
            for one, container in found:
                bundle = holder.begin(container.name)
                record, problems = image.write(bundle, one.image_of(container), container, shared, one.idmap)
                os.rename(bundle.path, bundle.final)
                self.records[form, container.name] = record, problems

    def bundle(self, form, name):
        return os.path.join(self.dest, form, 'dead', name)


@pytest.fixture(scope='module')
def written(dead_root_of):
    """written(kind): Written of that kind's dead root, made once."""
    made = {}

    def get(kind):
        root = dead_root_of(kind)
        if kind not in made:
            dest = os.path.join(root.scratch, 'images-written')
            shutil.rmtree(dest, ignore_errors=True)
            made[kind] = Written(root, dest)
        return made[kind]
    return get


def command(engine, folder, line):
    """Run a command line as README.txt gives it, with `docker` being the engine's own client."""
    shim = os.path.join(engine.scratch, 'bin')
    os.makedirs(shim, exist_ok=True)
    path = os.path.join(shim, 'docker')
    with open(path, 'w', encoding='utf-8') as script:
        script.write('#!/bin/sh\nexec %s "$@"\n' % ' '.join(engine.enter('docker')))
    os.chmod(path, 0o755)
    done = subprocess.run(['sh', '-c', 'set -e; ' + line], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=dict(os.environ, PATH=shim + os.pathsep + os.environ['PATH']), check=False)
    output = done.stdout.decode('utf-8', 'replace')
    # the containerd store ends with 0 even where a layer was missing
    assert done.returncode == 0 and 'rror' not in output, output
    return output


def load(engine, made, form, name):
    record = made.records[form, name][0]
    if record['form'] == 'archive':
        # the client sees another root: hand the file over by its standard input
        assert record['load'] == 'docker load -i image.tar'
        return command(engine, made.bundle(form, name), 'docker load < image.tar')
    return command(engine, made.bundle(form, name), record['load'])


def exported(engine, tag, scratch):
    """(members, capabilities) of the file system of a new container of TAG."""
    name = 'look-' + hashlib.sha256(tag.encode()).hexdigest()[:12]
    engine.docker('create', '--name', name, '--network', 'none', tag, 'true')
    path = os.path.join(scratch, name + '.tar')
    engine.download(path, '/containers/%s/export' % name)
    engine.docker('rm', '-v', name)
    return contents(path)


def contents(path):
    members, groups = rescued.unlink_hard(rescued.members(path))
    capabilities = {}
    with tarfile.open(path, errors='surrogateescape') as tar:
        for item in tar:
            for key, value in item.pax_headers.items():
                if key == 'SCHILY.xattr.security.capability':
                    capabilities[os.fsencode(item.name)] = os.fsencode(value)
    os.unlink(path)
    return members, groups, capabilities


_TRUTHS = {}                            # export of a dead root -> what it holds, read once for all engines that take images of it


def truth_of(root, said, scratch):
    source = root.file(said['export'])
    if source not in _TRUTHS:
        path = os.path.join(scratch, 'truth.tar')
        os.symlink(source, path)
        _TRUTHS[source] = contents(path)
    members, groups, capabilities = _TRUTHS[source]
    return dict(members), set(groups), dict(capabilities)


@pytest.mark.parametrize('pair', [pair for pair in PAIRS + OTHERS if pair[0] in fixtures.wanted([pair[0]])],
                         ids=lambda pair: '%s-to-%s' % pair)
def test_loaded_elsewhere(pair, written, start_engine, disk_dir):
    made = written(pair[0])
    root = made.root
    engine = start_engine(pair[1])
    ids = {item['Id']: item for item in root.truth['images']}
    for name in CHOSEN:
        said = root.truth['containers'][name]
        original = ids[said['inspect']['Image']]
        form = 'shared' if CHOSEN.index(name) % 2 else 'single'
        record, problems = made.records[form, name]
        # the name of one attribute has a '=', which comes back as another name
        lacking = [item.code for item in problems if item.code == 'IMAGE_ATTRIBUTES']
        assert bool(lacking) is (name == 'shop-web-1'), problems
        assert record['status'] == ('partial' if lacking else 'complete') and record['exact'] is True, problems
        output = load(engine, made, form, name)
        tag = 'lifeboat/%s:%s' % (name, said['inspect']['Id'][:12])
        assert record['tags'] == sorted(original['RepoTags'] or []) + [tag]
        for each in record['tags']:
            assert each in output
        # layers: the original's own, unchanged, and at most one on top
        loaded = json.loads(engine.docker('image', 'inspect', tag))[0]
        assert loaded['RootFS']['Layers'][:len(original['RootFS']['Layers'])] == original['RootFS']['Layers']
        assert len(loaded['RootFS']['Layers']) - len(original['RootFS']['Layers']) in (0, 1)
        for key in ('Architecture', 'Os', 'Variant'):
            assert loaded.get(key) == original.get(key)
        for each in original['RepoTags'] or []:
            again = json.loads(engine.docker('image', 'inspect', each))[0]
            assert again['RootFS'] == original['RootFS']
            assert again['Created'][:19] == original['Created'][:19]
            if engine.kind.store == root_store(root):
                assert again['Id'] == original['Id'], 'an image keeps its ID on a store of the same sort'
        # the Config
        for key in CONFIG:
            assert (loaded['Config'].get(key) or None) == (said['inspect']['Config'].get(key) or None), (name, key)
        history = [json.loads(line) for line in engine.docker(
            'history', '--no-trunc', '--human=false', '--format', '{{json .}}', tag).splitlines()]
        assert 'brought back' in history[0]['Comment']
        assert len(history) == 1 + len(root.truth['history'][said['inspect']['Image']])
        # the files
        ours, our_groups, our_capabilities = exported(engine, tag, disk_dir)
        theirs, their_groups, their_capabilities = truth_of(root, said, disk_dir)
        assert_same_files(name, ours, theirs)
        if pair[0] == 'debian-vfs':     # its copies of a layer keep hard links of regular files only
            our_groups, their_groups = ({group for group in groups if all(files[path][0] == 'f' for path in group)}
                                        for groups, files in ((our_groups, ours), (their_groups, theirs)))
        assert our_groups == their_groups
        assert our_capabilities == their_capabilities
        if name == 'shop-web-1' and not pair[0].endswith('userns'):
            assert b'opt/capable' in our_capabilities
            assert_same_attributes(engine, tag, root.tree(said['tree']))
    # and it runs
    out = engine.docker('run', '--rm', '--network', 'none', 'lifeboat/shop-renamed:' +
                        root.truth['containers']['shop-renamed']['inspect']['Id'][:12], 'cat /opt/app/version; pwd')
    assert out == b'v2\n/opt/app\n'
    # what was loaded can be saved again: the engine's own record of each layer fits
    tag = made.records['single', 'shop-web-1'][0]['tags'][-1]
    saved = os.path.join(disk_dir, 'saved.tar')
    engine.download(saved, '/images/%s/get' % tag)
    assert os.path.getsize(saved) > 1 << 20


def root_store(root):
    return 'containerd' if root.containerd_root else 'graphdriver'


FIELDS = ('type', 'mode', 'uid', 'gid', 'size', 'mtime', 'link', 'device', 'sha256')
# a new container gets these placeholders from its own init layer
MADE_BY_ENGINE = {b'.dockerenv', b'dev', b'dev/console', b'dev/pts', b'dev/shm', b'etc', b'etc/hostname', b'etc/hosts',
                  b'etc/mtab', b'etc/resolv.conf', b'proc', b'sys'}
# folders that the base image's layer does not hold by themselves: each engine makes them as it unpacks what is in them
IMPLIED = {b'opt/from-base', b'opt/from-base/replaced', b'opt/from-base/replaced/deep'}


def assert_same_files(name, ours, theirs):
    assert sorted((set(ours) ^ set(theirs)) - MADE_BY_ENGINE) == [], name
    wrong = []
    for path in sorted(set(ours) & set(theirs)):
        different = {field: (one, other) for field, one, other in zip(FIELDS, ours[path], theirs[path]) if one != other}
        if different.get('mtime', (1, 1))[0] == 0 > different['mtime'][1]:
            del different['mtime']      # docker load has no times before 1970; the archive does, see below
        if path in IMPLIED:
            different = {field: pair for field, pair in different.items() if field not in ('mtime', 'mode')}
        if path in MADE_BY_ENGINE:      # a link in the place of /etc: the init layer's folder lies on top of it
            different = {field: pair for field, pair in different.items()
                         if field in ('type', 'link') and (path, theirs[path][0]) != (b'etc', 'l')}
        if different:
            wrong.append((path, different))
    assert not wrong, '%s: %s' % (name, wrong)


def assert_same_attributes(engine, tag, tree):
    """Every extended attribute and nanosecond of the container's own files, but for what a loader does not keep."""
    engine.docker('run', '-d', '--name', 'attributes', '--network', 'none', '--entrypoint', '/bin/busybox', tag, 'sleep', '100000')
    place = 'srv/wild/'
    ours = {item['path']: item for item in listing.listing('/proc/%d/root/%s' % (engine.container_pid('attributes'), place), contents=False)}
    seen = set()
    for said in tree:
        if not said['path'].startswith(place) or said['type'] == 's':
            continue
        found = ours[said['path'][len(place):]]
        wanted = {name: value for name, value in said['xattrs'].items()
                  if '=' not in name and (value or engine.kind.newer)
                  and not (name.startswith('trusted.') and engine.kind.store == 'containerd')}
        assert {name: value for name, value in found['xattrs'].items() if not name.startswith('security.selinux')} == wanted, said['path']
        seen.update(wanted)
        if said['type'] == 'f' and said['mtime_ns'] >= 0:
            assert found['mtime_ns'] == said['mtime_ns'], said['path']
    assert {'user.comment', 'user.big', 'system.posix_acl_access', 'system.posix_acl_default', 'security.capability'} <= seen
    engine.docker('rm', '-f', 'attributes')


def top_layer(made, name):
    """{name: tarfile.TarInfo} of the container's own layer in image.tar."""
    with tarfile.open(os.path.join(made.bundle('single', name), 'image.tar')) as outer:
        top = json.load(outer.extractfile('manifest.json'))[-1]['Layers'][-1]
        with tarfile.open(fileobj=outer.extractfile(top), errors='surrogateescape') as layer:
            return {item.name: item for item in layer}


def test_what_engines_do_not_show_is_in_the_archive(written):
    made = written('debian-overlay2')
    assert int(top_layer(made, 'shop-web-1')['srv/wild/times/y1901'].mtime) == -2147483648
    hostile = top_layer(made, 'shop-hostile')
    assert hostile['etc'].issym() and hostile['etc'].linkname == '/'
    assert not any(name.startswith('etc/') for name in hostile)


def test_layers_in_common_cost_their_size_once(written):
    made = written('debian-overlay2')
    blobs = {}
    for name in CHOSEN:
        record = made.records['shared', name][0]
        folder = made.bundle('shared', name)
        assert record['form'] == 'folder' and record['referenced'] == []
        for part, digest in record['parts'].items():
            path = os.path.join(folder, part)
            with open(path, 'rb') as data:
                assert hashlib.sha256(data.read()).hexdigest() == digest
            st = os.lstat(path)
            if '/blobs/' in part and st.st_size > 1 << 20:
                blobs.setdefault(digest, set()).add((st.st_dev, st.st_ino))
    assert len(blobs) >= 2
    assert all(len(inodes) == 1 for inodes in blobs.values()), 'a large layer lies there twice'


@pytest.fixture(scope='module')
def skopeo():
    return fixtures.program('skopeo')


def _skopeo(program, *args):
    return subprocess.run([program, '--insecure-policy'] + list(args), stdout=subprocess.PIPE, check=True).stdout


@pytest.mark.parametrize('kind', ['debian-overlay2', 'newer-containerd'])
def test_skopeo_reads_it(kind, written, skopeo, disk_dir):
    made = written(kind)
    for name in ('shop-web-1', 'shop-loaded'):
        said = made.root.truth['containers'][name]
        short = said['inspect']['Id'][:12]
        config = said['inspect']['Config']
        layers = None
        for number, source in enumerate((
                'oci-archive:%s:%s' % (os.path.join(made.bundle('single', name), 'image.tar'), short),
                'docker-archive:%s:lifeboat/%s:%s' % (os.path.join(made.bundle('single', name), 'image.tar'), name, short),
                'oci:%s:%s' % (os.path.join(made.bundle('shared', name), 'image'), short))):
            inspected = json.loads(_skopeo(skopeo, 'inspect', source))
            assert inspected['Os'] == 'linux' and inspected['Env'] == config['Env']
            inside = json.loads(_skopeo(skopeo, 'inspect', '--config', source))
            assert inside['config'].get('Cmd') == config['Cmd']
            diff_ids = inside['rootfs']['diff_ids']
            assert layers is None or layers == diff_ids
            layers = diff_ids
            # a copy reads and checks every blob
            target = os.path.join(disk_dir, '%s-%d' % (name, number))
            _skopeo(skopeo, 'copy', source, 'dir:' + target)
            for digest in [item['digest'] for item in manifest_of(target)['layers']]:
                with open(os.path.join(target, digest[7:]), 'rb') as data:
                    assert hashlib.sha256(data.read()).hexdigest() == digest[7:]
    # the images beside the bundles are a layout of their own
    tag = scenario.LOADED.rpartition(':')[2]
    listed = json.loads(_skopeo(skopeo, 'inspect', '--raw', 'oci:%s:latest' % os.path.join(made.dest, 'shared/dead/images')))
    assert listed['layers'] and tag


def manifest_of(folder):
    with open(os.path.join(folder, 'manifest.json'), encoding='utf-8') as found:
        return json.load(found)


@pytest.mark.parametrize('kind', ['debian-overlay2', 'newer-overlay2', 'newer-containerd'])
def test_without_hard_links_the_command_fetches_the_blobs(kind, dead_root_of, start_engine, disk_dir):
    """Where dest has no hard links the bundle refers to images/; and an image that no container uses."""
    root = dead_root_of('debian-overlay2')
    holder = store.FolderStore(os.fsencode(disk_dir), b'dead')
    holder.prepare()
    shared = imagestore.ImageStore(os.path.join(holder.path, imagestore.NAME))
    with rescued.open_host(root) as host:
        one = next(each for each in host.roots[0].images() if scenario.SHOP in each.references)
        container = host.roots[0].container(root.truth['containers']['shop-web-1']['inspect']['Id'])
        bundle = holder.begin('shop-web-1')
        bundle.adopt = lambda source, target: False
        record, notes = image.write(bundle, one, container, shared, host.roots[0].idmap, form=image.FOLDER)
        lone = holder.begin('lone')
        lone_record = image.write(lone, next(each for each in host.roots[0].images() if scenario.LOADED in each.references))[0]
    # what no loader keeps of the writable layer's attributes is told, and nothing else is missing
    assert record['status'] == 'partial' and {note.code for note in notes if note.loses_data} <= {'IMAGE_ATTRIBUTES'}
    assert lone_record['status'] == 'complete' and len(record['referenced']) == len(one.layers)
    os.rename(bundle.path, bundle.final)
    engine = start_engine(kind)
    assert record['tags'][-1] in command(engine, os.fsdecode(bundle.final), record['load'])
    assert engine.docker('run', '--rm', '--network', 'none', record['tags'][-1], 'cat /opt/app/page.html') == b'page\n'
    assert scenario.LOADED in command(engine, os.fsdecode(lone.path), 'docker load < image.tar')
    loaded = json.loads(engine.docker('image', 'inspect', scenario.LOADED))[0]
    assert loaded['RootFS']['Layers'] == [layer['diff_id'] for layer in lone_record['layers']]


def test_loadable_gives_what_docker_load_takes(written, start_engine):
    made = written('debian-overlay2')
    engine = start_engine('debian-overlay2')
    for form in ('single', 'shared'):
        bundle = os.fsencode(made.bundle(form, 'shop-loaded'))
        data = b''.join(imagestore.loadable(bundle))
        assert b'lifeboat/shop-loaded:' in engine.docker('load', stdin=data)
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            assert 'oci-layout' in tar.getnames()


def test_integrity_names_a_damaged_file(dead_root_of, disk_dir):
    copy = dead_root_of('debian-overlay2').copy(os.path.join(disk_dir, 'copy'))
    with rescued.open_host(copy) as host:
        layer = next(one for root in host.roots for one in root.images() if scenario.BASE in one.references).layers[0]
        victim = os.path.join(layer.path, b'etc/passwd')
        assert stat.S_ISREG(os.lstat(victim).st_mode)
        with open(victim, 'r+b') as data:
            data.write(b'R')
        result = next(integrity.check_image(one) for root in host.roots for one in root.images()
                      if scenario.SHOP in one.references)
    assert result['status'] == 'partial'
    assert result['layers'][0]['damaged'] == ['etc/passwd'] and result['layers'][0]['damaged_total'] == 1
    assert [item['verified'] for item in result['layers'][1:]] == [True] * (len(result['layers']) - 1)
    assert [item['code'] for item in result['problems']] == ['IMAGE_LAYER_DAMAGED']


def test_a_damaged_layer_is_never_passed_off_as_the_original(dead_root_of, start_engine, disk_dir):
    copy = dead_root_of('debian-overlay2').copy(os.path.join(disk_dir, 'copy'))
    holder = store.FolderStore(os.fsencode(os.path.join(disk_dir, 'dest')), b'dead')
    holder.prepare()
    said = copy.truth['containers']['shop-web-1']['inspect']
    with rescued.open_host(copy) as host:
        root = host.roots[0]
        container = root.container(said['Id'])
        original = root.image_of(container)
        os.unlink(os.path.join(original.layers[0].path, b'opt/setuid'))
        bundle = holder.begin('shop-web-1')
        record, problems = image.write(bundle, original, container, None, root.idmap)
    assert record['status'] == 'partial' and record['exact'] is False
    assert [item['exact'] for item in record['layers']] == [False] + [True] * (len(original.layers) - 1)
    assert record['layers'][0]['damaged'] == ['opt/setuid']
    assert not set(record['tags']) & set(original.references)
    assert 'IMAGE_LAYER_REBUILT' in [item.code for item in problems]
    engine = start_engine('newer-containerd')
    assert record['tags'][-1] in command(engine, os.fsdecode(bundle.path), 'docker load < image.tar')
    members = exported(engine, record['tags'][-1], disk_dir)[0]
    theirs = truth_of(copy, copy.truth['containers']['shop-web-1'], disk_dir)[0]
    theirs.pop(b'opt/setuid')
    assert_same_files('shop-web-1', members, theirs)
