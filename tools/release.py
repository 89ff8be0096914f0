"""`make release`: the collection's tarball, lifeboat.pyz and its wheel in dist/, the same bytes whenever and wherever they are built.

ansible-galaxy chooses what belongs in; the tar around it is written anew in name order, with root as owner, plain
modes and one time for all (SOURCE_DATE_EPOCH, by default that of the last commit). Beside it: SHA256SUMS and the list
of files with their checksums. It is built twice, and both must be equal.

With RELEASE_KEY (a key of gpg, as `gpg --local-user` takes it) the tarball's MANIFEST.json is signed, as
`ansible-galaxy collection install --keyring` verifies it, and SHA256SUMS.
"""
import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile

import envs
import pyz
import tree
from pyz import epoch

DIST = os.path.join(envs.CHECKOUT, 'dist')


def sorted_manifests(contents):
    """FILES.json comes in the order in which this file system lists folders: sort it, and name its new checksum."""
    listed = json.loads(contents['FILES.json'].decode('utf-8'))
    listed['files'].sort(key=lambda entry: entry['name'])
    contents['FILES.json'] = json.dumps(listed, indent=1).encode('utf-8')
    manifest = json.loads(contents['MANIFEST.json'].decode('utf-8'))
    manifest['file_manifest_file']['chksum_sha256'] = hashlib.sha256(contents['FILES.json']).hexdigest()
    contents['MANIFEST.json'] = json.dumps(manifest, indent=1).encode('utf-8')


def normalized(raw, when):
    """The tarball in RAW with the same members, but without traces of who built it, where and when."""
    with tarfile.open(fileobj=io.BytesIO(raw)) as old:
        infos = sorted(old.getmembers(), key=lambda info: info.name)
        contents = {info.name: old.extractfile(info).read() for info in infos if info.isfile()}
    sorted_manifests(contents)
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode='w', format=tarfile.USTAR_FORMAT) as new:
        for info in infos:
            content = contents.get(info.name, b'')
            clean = tarfile.TarInfo(info.name)
            clean.type, clean.linkname, clean.size, clean.mtime = info.type, info.linkname, len(content), when
            clean.mode = 0o755 if info.isdir() or info.mode & 0o100 else 0o644
            clean.uname = clean.gname = 'root'
            new.addfile(clean, io.BytesIO(content))
    packed = io.BytesIO()
    with gzip.GzipFile(filename='', fileobj=packed, mode='wb', compresslevel=9, mtime=when) as out:
        out.write(plain.getvalue())
    return packed.getvalue()


def build(environment, dest):
    """Build the tarball with ENVIRONMENT's ansible-galaxy into the folder DEST; returns its path."""
    os.makedirs(dest, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='release-', dir=envs.VENV) as scratch:
        collection = tree.build(scratch)
        envs.run([os.path.join(environment, 'bin', 'ansible-galaxy'), 'collection', 'build', '--output-path', scratch,
                  collection], 'ansible-galaxy could not build the collection')
        name = next(each for each in os.listdir(scratch) if each.endswith('.tar.gz'))
        with open(os.path.join(scratch, name), 'rb') as raw:
            data = normalized(raw.read(), epoch())
    path = os.path.join(dest, name)
    with open(path, 'wb') as out:
        out.write(data)
    return path


def file_list(path):
    """`sha256sum`-like lines for every file in the tarball."""
    with tarfile.open(path) as archive:
        listed = json.load(archive.extractfile('FILES.json'))
    return ''.join('%s  %s\n' % (entry['chksum_sha256'], entry['name']) for entry in listed['files']
                   if entry['ftype'] == 'file')


def sha256(path):
    with open(path, 'rb') as raw:
        return hashlib.sha256(raw.read()).hexdigest()


def manifest_of(path):
    """The bytes of MANIFEST.json in the tarball: what ansible-galaxy verifies first; it has the checksum of FILES.json, which has all others."""
    with tarfile.open(path) as archive:
        return archive.extractfile('MANIFEST.json').read()


def gpg_signature(key, data, target):
    """Write a detached, armored signature of DATA (bytes) by KEY to the file TARGET. Exits where gpg does not make one."""
    done = subprocess.run(['gpg', '--batch', '--yes', '--armor', '--local-user', key, '--output', target, '--detach-sign', '-'],
                          input=data, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        sys.exit('gpg does not sign with %s: %s' % (key, done.stderr.decode('utf-8', 'replace').strip()))


def sign(key, path, folder):
    """Sign the release in FOLDER, whose tarball is PATH -> names of the signature files."""
    made = [os.path.basename(path)[:-len('.tar.gz')] + '.MANIFEST.json.asc', 'SHA256SUMS.asc']
    gpg_signature(key, manifest_of(path), os.path.join(folder, made[0]))
    with open(os.path.join(folder, 'SHA256SUMS'), 'rb') as sums:
        gpg_signature(key, sums.read(), os.path.join(folder, made[1]))
    return made


def uncommitted():
    done = subprocess.run(['git', '-C', envs.CHECKOUT, 'status', '--porcelain'], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=False)
    return bool(done.stdout.strip())


def build_all(environment, dest):
    """Everything that is released; returns the paths, the tarball's first."""
    return [build(environment, dest), pyz.pyz(dest, epoch()), pyz.wheel(dest, epoch())]


def main():
    environment = envs.make(['ansible'], envs.controller(), 'ansible')
    shutil.rmtree(DIST, ignore_errors=True)
    paths = build_all(environment, DIST)
    with tempfile.TemporaryDirectory(prefix='second-', dir=envs.VENV) as scratch:
        if list(map(sha256, build_all(environment, scratch))) != list(map(sha256, paths)):
            sys.exit('two builds differ: the release is not reproducible')
    path = paths[0]
    name = os.path.basename(path)
    with open(path[:-len('.tar.gz')] + '.files', 'w', encoding='utf-8') as out:
        out.write(file_list(path))
    with open(os.path.join(DIST, 'SHA256SUMS'), 'w', encoding='ascii') as out:
        for each in [name, name[:-len('.tar.gz')] + '.files'] + [os.path.basename(other) for other in paths[1:]]:
            out.write('%s  %s\n' % (sha256(os.path.join(DIST, each)), each))
    key = os.environ.get('RELEASE_KEY')
    for each in sign(key, path, DIST) if key else ():
        print('signed: %s' % os.path.join(os.path.relpath(DIST, envs.CHECKOUT), each))
    if uncommitted():
        print('warning: the checkout has uncommitted changes, and they are in the tarball', file=sys.stderr)
    for each in paths:
        print('%s  %s (built twice, equal)' % (sha256(each), os.path.relpath(each, envs.CHECKOUT)))


if __name__ == '__main__':
    try:
        main()
    except envs.Missing as problem:
        sys.exit('%s' % problem)
