# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one file of module_utils that knows AnsibleModule: shared arguments, and errors turned into sentences."""
import os
import traceback

from .disk import metadata
from .disk.errors import LifeboatError
from .formats import wording

SOURCE_ARGUMENTS = dict(
    host_root=dict(type='path', default='/'),
    data_roots=dict(type='list', elements='path', default=[]),
    containerd_root=dict(type='path'),
    containers=dict(type='list', elements='str', default=[]),
)


def run(module, work):
    """Call WORK(module) -> result; end the module with it. Every error that a user can meet becomes one sentence."""
    try:
        result = work(module)
    except LifeboatError as exc:
        module.fail_json(msg=sentence(str(exc)))
    except OSError as exc:
        where = exc.filename
        module.fail_json(msg=sentence('Cannot read %s: %s. Check the path and run as root (become: true)' % (
            wording.show(where) if where is not None else 'the disk', metadata.describe(exc))),
            exception=traceback.format_exc() if module._verbosity >= 3 else None)
    except MemoryError:
        module.fail_json(msg='Out of memory. Rescue fewer containers at once (containers: [...]).')
    else:
        module.exit_json(**result)


def sentence(text):
    text = text.strip()
    return (text[:1].upper() if text[:1].islower() and not text.startswith(('dest', 'data_roots', 'host_root', 'include'))
            else text[:1]) + text[1:] + ('' if text.endswith('.') else '.')


def open_host(params):
    """engines.docker.inventory.Host of a module's shared arguments."""
    from .engines.docker import inventory
    root = params['containerd_root']
    return inventory.Host(os.fsencode(params['host_root']), [os.fsencode(path) for path in params['data_roots']],
                          os.fsencode(root) if root else None)
