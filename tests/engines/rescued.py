"""Runs the collection's code against a dead root, and reads archives back with programs that are not ours."""
import decimal
import hashlib
import json
import math
import os
import stat
import subprocess
import tarfile

from rig import listing

from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.facts import gather as facts
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run

# host root -> what everything() returned
_MADE = {}
EVERYTHING = ('config', 'writable', 'rootfs', 'volumes', 'binds', 'logs')


def open_host(root, **options):
    return registry.open_host(os.fsencode(root.host_root), **options)


def rescue(root, dest, **options):
    """The result of a rescue of ROOT (rig.dead.DeadRoot) into DEST, as the module returns it."""
    options.setdefault('include', EVERYTHING)
    options.setdefault('host_name', 'dead')
    with open_host(root) as host:
        return run.rescue(host, run.Request(os.fsencode(dest), **options))


def everything(root, compression='auto'):
    """One rescue of all that ROOT has, made once -> (result, its dest, snapshots of the source before and after)."""
    if root.host_root not in _MADE:
        dest = os.path.join(root.scratch, 'rescued')
        before = listing.snapshot(root.host_root)
        result = rescue(root, dest, volumes=('*',), orphans=True, compression=compression)
        _MADE[root.host_root] = result, dest, before, listing.snapshot(root.host_root)
    return _MADE[root.host_root]


def gather(root, **options):
    with open_host(root) as host:
        return facts.gather(host, facts.Options(**options))


def manifest(bundle):
    with open(os.path.join(bundle['path'], 'manifest.json'), encoding='utf-8') as found:
        return json.load(found)


def component(bundle, name):
    return next(item for item in manifest(bundle)['components'] if item['name'] == name)


def extract(archive, target):
    """Unpack with GNU tar as README.txt says."""
    os.makedirs(target, exist_ok=True)
    subprocess.run(['tar', '-C', target, '--numeric-owner', '--xattrs', '--xattrs-include=*', '--acls', '-xf', archive],
                   check=True)


def members(archive, decompress=None):
    """{name (bytes): what docker export says of it} of a tar, read by tarfile."""
    found, first = {}, {}
    process = None
    if decompress:
        process = subprocess.Popen(decompress + [archive], stdout=subprocess.PIPE)
        stream = tarfile.open(fileobj=process.stdout, mode='r|', encoding='utf-8', errors='surrogateescape')
    else:
        stream = tarfile.open(archive, mode='r|', encoding='utf-8', errors='surrogateescape')
    with stream:
        for item in stream:
            name = os.fsencode(item.name).strip(b'/')
            digest = None
            if item.isreg():
                sha = hashlib.sha256()
                data = stream.extractfile(item)
                piece = data.read(1 << 20)
                while piece:
                    sha.update(piece)
                    piece = data.read(1 << 20)
                digest = sha.hexdigest()
                first[name] = name
            assert name not in found, 'twice in the archive: %r' % name
            kind = {tarfile.REGTYPE: 'f', tarfile.AREGTYPE: 'f', tarfile.GNUTYPE_SPARSE: 'f', tarfile.DIRTYPE: 'd',
                    tarfile.SYMTYPE: 'l', tarfile.LNKTYPE: 'h', tarfile.FIFOTYPE: 'p', tarfile.CHRTYPE: 'c',
                    tarfile.BLKTYPE: 'b'}[item.type]
            found[name] = (kind, item.mode & 0o7777, item.uid, item.gid, item.size if kind == 'f' else 0,
                           seconds(item), os.fsencode(item.linkname) if kind in 'lh' else b'',
                           (item.devmajor, item.devminor) if kind in 'cb' else None, digest)
    if process is not None:
        assert process.wait() == 0
    return found


def seconds(item):
    """Whole seconds of a member's time. As a float, which tarfile makes of it, 0.999999999 s of the year 2100 is the next second."""
    return math.floor(decimal.Decimal(item.pax_headers.get('mtime', item.mtime)))


def unlink_hard(found):
    """The same with hard links replaced by what they point to: which of the names comes first is not compared."""
    plain, groups = {}, {}
    for name, item in found.items():
        if item[0] == 'h':
            target = found[item[6]]
            groups.setdefault(item[6], {item[6]}).add(name)
            plain[name] = target
        else:
            plain[name] = item
    return plain, {frozenset(group) for group in groups.values()}


def tree(path):
    """{name: (type, mode, uid, gid, size, mtime s, link, device, sha256)} of an extracted folder."""
    found = {}
    top = os.fsencode(path)
    for folder, folders, names in os.walk(top):
        for name in folders + names:
            full = os.path.join(folder, name)
            st = os.lstat(full)
            kind = {stat.S_IFREG: 'f', stat.S_IFDIR: 'd', stat.S_IFLNK: 'l', stat.S_IFIFO: 'p', stat.S_IFCHR: 'c',
                    stat.S_IFBLK: 'b', stat.S_IFSOCK: 's'}[stat.S_IFMT(st.st_mode)]
            digest = None
            if kind == 'f':
                with open(full, 'rb') as data:
                    digest = hashlib.file_digest(data, 'sha256').hexdigest() if hasattr(hashlib, 'file_digest') else \
                        hashlib.sha256(data.read()).hexdigest()
            found[os.path.relpath(full, top)] = (
                kind, stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid, st.st_size if kind == 'f' else 0,
                st.st_mtime_ns // 10**9, os.readlink(full) if kind == 'l' else b'',
                (os.major(st.st_rdev), os.minor(st.st_rdev)) if kind in 'cb' else None, digest)
    return found
