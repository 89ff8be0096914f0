# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/codes.md from the tables of codes in records/codes.py and roles/audit, with what to do about each.

    python3 tools/codes_doc.py            write docs/codes.md
    python3 tools/codes_doc.py --check    exit status 1 and the reason if it is not current, or a table has gaps

The meaning of a code is in records/codes.py, the advice is here: it is of no use at run time, where every problem
carries its own next step. Standard library only, Python 3.6 and newer.
"""
import ast
import os
import re
import sys

CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TABLE = os.path.join('plugins', 'module_utils', 'records', 'codes.py')
RULES = os.path.join('roles', 'audit', 'defaults', 'main', 'rules.yml')
PAGE = os.path.join('docs', 'codes.md')
CODE = re.compile(r'[A-Z][A-Z0-9]*(_[A-Z0-9]+)+\Z')
SEVERITIES = ('critical', 'warning', 'info')

# What makes a problem: functions whose first argument is a code
MAKERS = ('problem', '_lack')

ADVICE = {
    'NO_DATA_ROOT': 'Is the right disk mounted, and is `host_root` its `/`? If you know the folder, name it in `data_roots`.',
    'DATA_ROOT_EMPTY': 'Look for a disk that is not mounted, and for a second root in the other problems of the host. '
                       'Do not start dockerd there: it would fill the mount point with a new, empty store.',
    'DATA_ROOT_NOT_MOUNTED': 'Mount the disk at that place over a copy-on-write overlay ([outage.md](outage.md#mount-a-disk-read-only)), so that its '
                             'journal is replayed and nothing is written to it; or without its journal (the message has the command). Run again.',
    'DATA_ROOT_MISSING': 'Mount the disk that holds it, or name its new place in `data_roots`.',
    'CONFIG_UNREADABLE': 'Run as root (`become: true`). If you know the data root, name it in `data_roots`.',
    'DATA_ROOT_UNREADABLE': 'Run as root (`become: true`). If the error is an I/O error, copy the disk with `ddrescue` '
                            'and read the copy.',
    'DRIVER_FOLDER_EMPTY': 'Mount that file system (look into `/etc/fstab` of the dead host) over a copy-on-write overlay '
                           '([outage.md](outage.md#mount-a-disk-read-only)) and run again.',
    'DAEMON_JSON_DAMAGED': 'If you know the data root, name it in `data_roots`. Repair the file before dockerd is started.',
    'HIDDEN_STORE': 'Nothing. Containers of every store are read.',
    'PRIVILEGES_MISSING': 'Run as root (`become: true`); a container with `--cap-add SYS_ADMIN` or `--privileged`. What was read '
                          'without may show deleted files as present.',
    'RECORDS_DAMAGED': 'Rescue first: containers are found by their folders. Do not run `crio` or `podman system` commands there.',
    'VOLATILE_RECORD_LOST': 'Rescue before `crio` is started: it deletes these layers in its first second.',
    'STORE_WIPED_AT_NEXT_START': 'Rescue before `crio-wipe.service` or `crio.service` is started on this disk, or disable both first.',
    'LAYER_INCOMPLETE': 'Rescue before any command of the engine is run, `podman ps` included.',
    'LAYER_STAGED': 'Rescue it with `orphans: true` before any command of the engine is run, `podman ps` included.',
    'STATE_DB_DAMAGED': 'Nothing is missing of the data. Check ports, limits and restart policy by hand after the restore.',
    'STATE_DB_MISSING': 'The same. `podman ps --all --external` lists such containers.',
    'STATE_DB_HOT': 'Nothing.',
    'STATE_RECORD_LOST': 'Check ports, limits and restart policy by hand after the restore.',
    'NO_STATE_RECORD': 'Nothing, if it is a working container of a build.',
    'IN_POD': 'Make the pod again (`podman pod create`), or publish the ports of the container that serves them.',
    'VOLUME_LAYER_ONLY': 'Take its other files from the image.',
    'VM_DISK': 'Attach it: `lifeboat --disk FILE look`, the module `disk_attach`, or `nested: true` where it lies inside a disk that is '
               'attached ([disks.md](disks.md)).',
    'JOURNAL_IGNORED': 'Release the disk, install what the message names, and attach it with `journal: replay`: nothing is written to it.',
    'FILE_SYSTEM_NOT_MOUNTED': 'The kernel says why in `dmesg`. If its module is missing, attach the disk in a machine that has it. Never run '
                               'fsck on the only copy.',
    'PARTITIONS_DAMAGED': 'If the image was cut off while it was copied, copy it again.',
    'VOLUME_LOCKED': 'Release the disk and attach it again with `passphrase` or `key_file`.',
    'LAYER_NOT_ATTACHED': 'The message says what failed: a tool that is missing, a device that is not in `path`, or damage.',
    'DISK_MEMBER_MISSING': 'Add the other disks of the host to `path` if they can be had: the one that is missing may be the newest.',
    'ROOT_IN_USE': 'Stop dockerd and containerd, end the containers, and run again.',
    'ROOT_LAYOUT_UNKNOWN': 'Rescue what it holds, and restore it on a new host.',
    'ROOT_COPY_INCOMPLETE': 'Copy the root again, as root: `cp -a` or `rsync -aHAXS`.',
    'CONFIG_DAMAGED': 'Its layer, volumes and logs come out all the same. Compare `config/` in the bundle with what you '
                      'know: other records stood in for the damaged one.',
    'HOSTCONFIG_DAMAGED': 'Set ports, limits, restart policy and log options by hand after the restore.',
    'CONFIG_MISMATCH': 'Two records were mixed up. Compare name and image with what you know.',
    'CONFIG_FROM_TEMP': 'Nothing.',
    'NAME_UNKNOWN': 'Recognise it by its image, labels, log and files; the message lists hints. Give a name with the '
                    'option `name` of `docker_data_restore`.',
    'NAME_CONFLICT': 'Both are rescued, into folders with different IDs. Tell them apart by date and content.',
    'REMOVED_AT_NEXT_START': 'Rescue before dockerd is started on this disk. Bundles of such containers are written first.',
    'REMOVAL_INTERRUPTED': 'Rescue it before anybody runs `docker rm` or a prune there, and look at what is missing.',
    'SWARM_REMOVED_AT_NEXT_START': 'Copy the folder `swarm` of the data root before dockerd is started on this disk.',
    'WRITABLE_LAYER_LOST': 'Volumes, logs and config are still rescued. Look for the layer in backups. Otherwise only a '
                           'file system recovery tool is left, on a copy of the disk.',
    'WRITABLE_LAYER_LIKELY': 'Compare its content with what you expect before you use it.',
    'WRITABLE_LAYER_UNKNOWN': 'Rescue all orphan layers (`orphans: true`) and look for the data in them.',
    'LAYER_LINKS_DAMAGED': 'Nothing: the data are complete. Docker itself fails on such a root; do not repair the only copy.',
    'LAYER_ORDER_FALLBACK': 'Nothing, if the merged file system looks right.',
    'LAYER_ORDER_CONFLICT': 'Compare the result with what you expect. The writable layer is not affected.',
    'IMAGE_LAYER_LOST': 'Pull the image by its digest on a healthy host and lay the writable layer over it.',
    'IMAGE_LAYER_UNKNOWN': 'The same: pull the image on a healthy host.',
    'IMAGE_LAYER_REBUILT': 'Use it: the files are there. If you need the original digest, pull the image.',
    'IMAGE_LAYER_DAMAGED': 'Pull the image by its digest. The message names the files that differ.',
    'IMAGE_LAYER_UNVERIFIED': 'Nothing is known to be wrong. If it matters, pull the image and compare.',
    'IMAGE_LEFT_OUT': 'Take a `dest` with more room, or pull the image on a healthy host.',
    'IMAGE_ATTRIBUTES': 'Take them from `writable` or `rootfs`, which have every attribute.',
    'IMAGE_ATTRIBUTES_BY_STORE': 'Nothing, if nothing in the container uses such attributes. Else take them from '
                                 '`writable` or `rootfs`.',
    'IMAGE_SPARSE': 'Load it where there is room for the full size, or restore from `writable` or `rootfs`, which keep '
                    'the holes.',
    'IMAGE_CONFIG_LOST': 'Pull the image by its digest. Entrypoint and environment are also in the container\'s own record.',
    'LAYER_METADATA_DAMAGED': 'Containers that need such a layer are named separately.',
    'LAYER_REMOVING': 'Rescue before dockerd runs on this disk: it goes on with the removal when it is stopped.',
    'BUILD_CACHE': 'Nothing. `docker builder prune` removes them.',
    'STORE_UNREACHABLE': 'Fetch the containerd root of the same host (usually `/var/lib/containerd`) and name it in '
                         '`containerd_root`.',
    'DRIVER_UNSUPPORTED': 'Do what the next step says: it has the commands with the names of this very layer.',
    'METADATA_DB_DAMAGED': 'Nothing first. Labels and drivers of volumes may be missing; snapshots without an owner are '
                           'listed as orphans.',
    'METADATA_DB_MISSING': 'Rescue before containerd is started on this disk: snapshots are found without it. Put the '
                           'database back from a backup of the same day, or restore the bundles into a new data root.',
    'REFERENCES_DAMAGED': 'Nothing for a rescue. Do not try a start: it rewrites the states of containers before it fails. '
                          'Containers still tell the name of the image that they were made from.',
    'VOLUME_LOST': 'Look for it on other disks (a volume can be a host folder) and in backups.',
    'VOLUME_OPTIONS_DAMAGED': 'Do not try a start: it rewrites the states of containers before it fails. '
                              'Set the driver options by hand when you restore it, if it had any.',
    'VOLUME_NOT_ON_DISK': 'Mount the server or device read-only and archive it from there; the message names it.',
    'VOLUME_IS_LINK': 'Archive the target by hand if you trust it.',
    'BIND_MISSING': 'Mount the disk that holds it below `host_root` and run again.',
    'BIND_THROUGH_LINK': 'Look where the link leads. Archive the target by hand if you trust it.',
    'BIND_TOO_WIDE': 'Archive by hand the part of it that you need.',
    'TMPFS_LOST': 'Nothing can be done.',
    'LOG_NOT_ON_DISK': 'Look where the message says: the journal or a log server.',
    'LOG_DAMAGED': 'The files as found lie beside `container.log`.',
    'DEST_ON_SOURCE': 'Choose a `dest` on another disk, or `store_on: controller`. If deleted files are to be recovered as well, write nothing '
                      'more to that disk.',
    'DEST_NOT_MOUNTED': 'Mount the disk that is meant and run again, or choose another `dest`.',
    'DEST_IN_MEMORY': 'Choose a `dest` on a disk, or copy the bundles to one at once.',
    'BIND_LEFT_OUT': 'Rescue to a larger `dest`: what is there is taken up. `include` without `binds` leaves all of them out.',
    'NOT_WRITTEN': 'Remove the cause and run again: what is whole is taken up.',
    'NOT_INCLUDED': 'Add `binds` or `volumes` to `include` (`rescue_include` of the role) if these data are to come along; the folders of the '
                    'host that the message names have them.',
    'OLD_BUNDLE_KEPT': 'Compare the two and keep the one that has more.',
    'READ_ERROR': 'Copy the disk with `ddrescue` and rescue from the copy. Everything else was read.',
    'FILE_CHANGED': 'Stop the container, or use `quiesce: freeze`, and run again.',
    'CRASH_CONSISTENT': 'Databases repair themselves as after a power cut. For more, stop the container and run again.',
    'SOCKET_SKIPPED': 'Nothing. Programs make their sockets anew.',
    'WHITEOUT_NAME': 'Take these files from `rootfs`. The archive `writable` has their bytes too; an image cannot hold them, so it is `partial`.',
}

# made by plugin_utils/findings.py itself
OWN = ('RULE_FAILED', ['critical'])
AUDIT = {
    'RULE_FAILED': 'A rule failed on the facts of this host: what it looks for is not known.',
    'DB_IN_WRITABLE_LAYER': 'A database keeps its files in a writable layer. They go when the container is recreated.',
    'STATE_IN_WRITABLE_LAYER': 'Other state, such as uploads or a repository, lies in a writable layer.',
    'UNMOUNTED_VOLUME_PATH': 'The image declares a volume, but nothing is mounted there.',
    'ANON_VOLUME': 'Data lie in a volume without a name. The next `docker compose down -v` or prune can take it.',
    'EMPTY_VOLUME': 'A named volume is empty, while the data lie elsewhere.',
    'ORPHAN_VOLUME': 'A volume with data that no container uses.',
    'ORPHAN_LAYER': 'A writable layer that no container owns.',
    'LOG_UNBOUNDED': 'A log without a limit of size.',
    'LARGE_WRITABLE_LAYER': 'A large writable layer.',
    'AUTOREMOVE': 'The container removes itself and its anonymous volumes when it ends.',
    'DEAD_CONTAINER': 'A removal was interrupted.',
    'DAMAGED_METADATA': 'Records of Docker are damaged.',
    'UNCLEAN_DATABASE': 'The database of a stopped container was not shut down in order; only the same major version can recover it.',
    'NO_DATA_CHANGE': 'The database in a volume has not changed for a long time: perhaps its container writes elsewhere.',
    'SCAN_INCOMPLETE': 'Counting was cut short, so numbers are too small.',
    'HOST_PROBLEM': 'The host itself has one of the problems above.',
}

HEAD = """\
# Problem codes

This page is made by `python3 tools/codes_doc.py`. Do not edit it.

Modules say what they could not do as *problems*: records with `code`, `severity`, `object`, `message` and `next_step`.
The message tells what was found and the next step what to do in this very case; the table tells what the code means in
general. `critical`: data are lost or in danger. `warning`: something is missing or uncertain. `info`: good to know.

Symptoms and error messages of Docker itself are in [outage.md](outage.md).
"""

ROW = '| <a id="%s"></a>`%s` | %s | %s | %s |'


class Stale(Exception):
    """The page or a table is not as it should be. The message says which and what to do."""


def read(path, where):
    with open(os.path.join(where, path), encoding='utf-8') as found:
        return found.read()


def table(where=CHECKOUT):
    """[(section, [(code, severity, meaning)])] of records/codes.py. Read and not imported: sections are comments there."""
    source = read(TABLE, where)
    tree = ast.parse(source)
    lines = source.split('\n')
    values = {}
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else None
        if isinstance(target, ast.Name) and target.id == 'CODES':
            values = node.value
    sections = []
    for key, value in zip(values.keys, values.values):
        comment = lines[key.lineno - 2].strip()
        if comment.startswith('#') or not sections:
            sections.append((comment.lstrip('# '), []))
        severity, meaning = value.elts[:2]
        sections[-1][1].append((ast.literal_eval(key), severity.id.lower(), ast.literal_eval(meaning)))
    return sections


def audit_codes(where=CHECKOUT):
    """[(code, [severities])] of the built-in audit rules, in their order, and of what tells of rules."""
    found = {}
    order = []
    code = None
    for line in read(RULES, where).split('\n'):
        match = re.match(r'  - code: ([A-Z_]+)$', line)
        if match:
            code = match.group(1)
            if code not in found:
                order.append(code)
                found[code] = []
        match = re.match(r'    severity: ([a-z]+)$', line)
        if match and code and match.group(1) not in found[code]:
            found[code].append(match.group(1))
    return [(code, sorted(found[code], key=SEVERITIES.index)) for code in order] + [OWN]


def constants(node):
    """Codes that an expression can be: a string, or the branches of a conditional."""
    if isinstance(node, ast.IfExp):
        return constants(node.body) | constants(node.orelse)
    if type(node).__name__ not in ('Constant', 'Str'):      # Str: Python 3.7 and older
        return set()
    value = ast.literal_eval(node)
    return {value} if isinstance(value, str) and CODE.match(value) else set()


def uses(where=CHECKOUT):
    """(codes that the plugins make problems of, every string in them that looks like a code), codes.py left out."""
    made, named = set(), set()
    for folder, dummy, names in os.walk(os.path.join(where, 'plugins')):
        for name in names:
            path = os.path.join(folder, name)
            if not name.endswith('.py') or os.path.relpath(path, where) == TABLE:
                continue
            with open(path, encoding='utf-8') as found:
                tree = ast.parse(found.read())
            for node in ast.walk(tree):
                named |= constants(node) if isinstance(node, ast.expr) else set()
                if isinstance(node, ast.Call) and node.args:
                    called = getattr(node.func, 'attr', getattr(node.func, 'id', ''))
                    if called in MAKERS:
                        made |= constants(node.args[0])
    return made, named


def gaps(where=CHECKOUT):
    """Sentences about what is missing in one table or another; [] if all fits."""
    known = {code for dummy, rows in table(where) for code, dummy2, dummy3 in rows}
    audit = {code for code, dummy in audit_codes(where)}
    made, named = uses(where)
    found = ['%s is made in plugins/ but is not in %s.' % (code, TABLE) for code in sorted(made - known)]
    found += ['%s is in %s but nothing in plugins/ makes it.' % (code, TABLE) for code in sorted(known - made - named)]
    found += ['%s has no advice in tools/codes_doc.py.' % code for code in sorted(known - set(ADVICE))]
    found += ['tools/codes_doc.py has advice for %s, which is not in %s.' % (code, TABLE)
              for code in sorted(set(ADVICE) - known)]
    found += ['%s of %s is not in tools/codes_doc.py.' % (code, RULES) for code in sorted(audit - set(AUDIT))]
    found += ['tools/codes_doc.py has %s, which is not in %s.' % (code, RULES) for code in sorted(set(AUDIT) - audit)]
    return found


def cell(text):
    return text.replace('|', '\\|')


def page(where=CHECKOUT):
    """Text of docs/codes.md."""
    lines = [HEAD]
    for section, rows in table(where):
        lines += ['## ' + section[:1].upper() + section[1:], '', '| code | severity | meaning | what to do |',
                  '|---|---|---|---|']
        lines += [ROW % (code.lower(), code, severity, cell(meaning), cell(ADVICE.get(code, 'See the next step.')))
                  for code, severity, meaning in rows]
        lines.append('')
    lines += ['## Findings of the audit', '',
              'The role `audit` adds findings of its own: not damage, but data that the next ordinary step would destroy. Each '
              'finding', 'carries its remedy; [audit.md](audit.md) explains the rules.', '',
              '| code | severity | meaning |', '|---|---|---|']
    lines += ['| <a id="%s"></a>`%s` | %s | %s |' % (code.lower(), code, ' or '.join(severities), cell(AUDIT.get(code, '')))
              for code, severities in audit_codes(where)]
    return '\n'.join(lines) + '\n'


def check(where=CHECKOUT):
    """Raise Stale with every reason."""
    reasons = gaps(where)
    try:
        current = read(PAGE, where)
    except OSError:
        current = None
    if current != page(where):
        reasons.append('%s is not current: run python3 tools/codes_doc.py.' % PAGE)
    if reasons:
        raise Stale('\n'.join(reasons))


def main():
    if sys.argv[1:] == ['--check']:
        try:
            check()
        except Stale as exc:
            sys.exit('%s' % exc)
    elif sys.argv[1:]:
        sys.exit(__doc__)
    else:
        with open(os.path.join(CHECKOUT, PAGE), 'w', encoding='utf-8') as out:
            out.write(page())
        for reason in gaps():
            sys.stderr.write(reason + '\n')


if __name__ == '__main__':
    main()
