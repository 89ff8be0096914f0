"""What is on a rescued disk is opened, listed and looked at by disk/ alone."""
import ast
import functools
import glob
import os

PLUGINS = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'plugins')
OS = {'open', 'listdir', 'lstat', 'stat', 'readlink', 'scandir', 'walk', 'fwalk'}
OS_PATH = {'isdir', 'exists', 'lexists', 'islink', 'isfile', 'ismount', 'getsize', 'getmtime'}
# file -> what it opens or looks at by itself. None of it is a rescued disk.
ALLOWED = {
    'action/docker_data_rescue.py': 'dest on the controller; its own terminal',
    'action/docker_data_restore.py': 'bundles on the controller, its own scratch file',
    'module_utils/archive/compress.py': 'archives of bundles, for reading',
    'module_utils/archive/place.py': 'dest, where nothing may be written through a link',
    'module_utils/archive/removal.py': 'dest, and the folders of a restore that are taken away',
    'module_utils/archive/sink.py': 'writes the files of bundles',
    'module_utils/archive/unpack.py': 'writes the folder of a restore',
    'module_utils/attach/busy.py': 'this machine: its devices, mounts and programs, and the state of what is attached',
    'module_utils/attach/commands.py': 'this machine: its devices, mounts and programs, and the state of what is attached',
    'module_utils/attach/export.py': 'this machine: its devices, mounts and programs, and the state of what is attached',
    'module_utils/attach/images.py': 'this machine: its devices, mounts and programs, and the state of what is attached',
    'module_utils/attach/loops.py': 'this machine: its devices, mounts and programs, and the state of what is attached',
    'module_utils/attach/luks.py': 'this machine: its devices, mounts and programs, and the state of what is attached',
    'module_utils/attach/lvm.py': 'this machine: its devices, mounts and programs, and the state of what is attached',
    'module_utils/attach/raid.py': 'this machine: its devices, mounts and programs, and the state of what is attached',
    'module_utils/attach/release.py': 'this machine: its devices, mounts and programs, and the state of what is attached',
    'module_utils/attach/run.py': 'this machine: its devices, mounts and programs, and the state of what is attached',
    'module_utils/attach/session.py': 'this machine: its devices, mounts and programs, and the state of what is attached',
    'module_utils/attach/state.py': 'this machine: its devices, mounts and programs, and the state of what is attached',
    'module_utils/attach/thin.py': 'this machine: its devices and mounts, and files in the folder of the attachment that are checked before',
    'module_utils/bundles/holder.py': 'bundles',
    'module_utils/bundles/hostfiles.py': 'bundles',
    'module_utils/bundles/quiesce.py': 'control groups of the kernel of this machine',
    'module_utils/bundles/reading.py': 'bundles',
    'module_utils/bundles/signature.py': 'the list of allowed signers',
    'module_utils/bundles/store.py': 'bundles',
    'module_utils/bundles/swap.py': 'bundles',
    'module_utils/bundles/target.py': 'dest, /etc/fstab of this machine',
    'module_utils/cli/copying.py': 'writes the target of cp',
    'module_utils/cli/encoding.py': 'its own arguments and the file that it was started from',
    'module_utils/cli/main.py': '/dev/null for standard streams that are closed',
    'module_utils/cli/verbs/cp.py': 'the target of cp, the file of sums',
    'module_utils/cli/verbs/swarm.py': 'the file with the unlock key',
    'module_utils/dump/box.py': 'its own descriptors',
    'module_utils/dump/kernel.py': 'the ids of a user namespace of ours, in /proc',
    'module_utils/dump/kinds/etcd.py': 'the copy-on-write view',
    'module_utils/dump/kinds/influxdb.py': 'the copy-on-write view',
    'module_utils/dump/kinds/mysql.py': 'the copy-on-write view',
    'module_utils/dump/kinds/postgresql.py': 'the copy-on-write view',
    'module_utils/dump/kinds/rabbitmq.py': 'the copy-on-write view',
    'module_utils/dump/kinds/sqlite.py': 'the copy-on-write view',
    'module_utils/dump/named.py': 'layers as they are bound read-only in the view, and folders of ours around them',
    'module_utils/dump/room.py': 'the copy-on-write view',
    'module_utils/dump/unpacked.py': 'the scratch folder that a bundle is unpacked into',
    'module_utils/dump/view.py': 'the scratch folder and the copy-on-write view; layers and volumes by descriptors of disk/',
    'module_utils/dump/viewfiles.py': 'the copy-on-write view',
    'module_utils/images/store.py': 'images/ beside the bundles',
    'module_utils/repair/copies.py': 'the folder of the journal',
    'module_utils/repair/journal.py': 'the folder of the journal',
    'module_utils/repair/objects.py': 'the data root that is repaired, relative to folders that disk/ opened',
    'module_utils/repair/run.py': 'where the journal lies',
    'module_utils/repair/trial.py': 'the folder of a trial, beside the journal',
    'module_utils/repair/whole.py': 'a layer that is made in the folder of the journal',
    'module_utils/repair/trialcopy.py': 'the folder of a trial, beside the journal',
    'module_utils/rescue/sender.py': 'the folder by which it talks to the controller',
    'module_utils/restore/engine.py': 'the host that is restored to',
    'module_utils/restore/folders.py': 'the host that is restored to',
    'module_utils/restore/labels.py': 'the host that is restored to',
    'module_utils/restore/plan.py': 'the host that is restored to',
    'module_utils/restore/podmancli.py': 'the volumes of the host that is restored to',
    'module_utils/restore/target.py': 'the host that is restored to',
    'module_utils/restore/volumes.py': 'the host that is restored to',
    'module_utils/swarm/export.py': 'the folder that it writes, relative to its descriptor',
    'module_utils/transport/channel.py': 'the folder by which it talks to the controller',
    'module_utils/transport/inbox.py': 'the folder by which it talks to the controller',
    'module_utils/transport/remote.py': 'where dest lies on this machine',
    'module_utils/transport/spool.py': 'the folder by which it talks to the controller',
    'plugin_utils/delivery_files.py': 'bundles on the controller',
    'plugin_utils/delivery_found.py': 'bundles on the controller',
    'plugin_utils/delivery_guard.py': 'files that came to the controller, its own processes',
    'plugin_utils/delivery_session.py': 'files that came to the controller',
    'plugin_utils/jobplace.py': 'mounts of the controller',
    'plugin_utils/records.py': 'records of audits on the controller',
    'plugin_utils/pages.py': 'files of the collection',
    'plugin_utils/signing.py': 'bundles on the controller, the code of the collection',
    'plugin_utils/repositories/base.py': 'the file of a password on the controller',
    'plugin_utils/repositories/fetching.py': 'bundles on the controller',
    'plugin_utils/repositories/hook.py': 'its marks beside bundles on the controller',
    'plugin_utils/repositories/sending.py': 'bundles on the controller',
    'plugin_utils/reports_store.py': 'records of audits on the controller',
}


def calls(path):
    """Names of the calls, and of the functions that are handed on, by which a file opens or looks at paths."""
    with open(path, encoding='utf-8') as source:
        tree = ast.parse(source.read())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == 'open' and isinstance(node.ctx, ast.Load):
            found.add('open')
        elif isinstance(node, ast.Attribute):
            name = _name(node)
            if name in {'os.' + one for one in OS} | {'os.path.' + one for one in OS_PATH} | {'io.open', 'shutil.copyfile'}:
                found.add(name)
    return found


def _name(node):
    return '%s.%s' % (_name(node.value), node.attr) if isinstance(node, ast.Attribute) else getattr(node, 'id', '')


@functools.lru_cache(maxsize=None)
def all_calls():
    """{file: what it calls} of all files but those of disk/ that call something."""
    found = {}
    for path in glob.glob(os.path.join(PLUGINS, '**', '*.py'), recursive=True):
        name = os.path.relpath(path, PLUGINS)
        if not name.startswith(os.path.join('module_utils', 'disk') + os.sep):
            found[name] = sorted(calls(path))
    return {name: those for name, those in found.items() if those}


def test_only_disk_opens_what_is_on_a_rescued_disk():
    assert {name: found for name, found in all_calls().items() if name not in ALLOWED} == {}


def test_no_reason_stands_for_a_file_that_opens_nothing():
    assert set(ALLOWED) - set(all_calls()) == set()


def test_the_search_sees_a_call_and_a_function_that_is_handed_on(tmp_path):
    (tmp_path / 'a.py').write_text('import os\nopen(1)\nmap(os.lstat, x)\nos.path.isdir(b"")\nself.open(2)\nentry.stat()\n')
    assert calls(str(tmp_path / 'a.py')) == {'open', 'os.lstat', 'os.path.isdir'}
