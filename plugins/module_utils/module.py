"""The one file of module_utils that knows AnsibleModule: shared arguments, and errors turned into sentences. It imports no engine: whatever it
imports is sent to a node with every module, also with one that reads bundles only."""
import traceback
from typing import Any, Callable, Dict

from .disk import metadata
from .disk.errors import LifeboatError
from .formats import wording

SOURCE_ARGUMENTS = dict(
    host_root=dict(type='path', default='/'),
    data_roots=dict(type='list', elements='path', default=[]),
    containerd_root=dict(type='path'),
    engines=dict(type='list', elements='str', default=['all']),
    containers=dict(type='list', elements='str', default=[]),
)
# The same of modules that write what they read into a folder, see the section `output` there.
OUTPUT_ARGUMENTS = dict(
    dest=dict(type='path', required=True),
    host_name=dict(type='str'),
    compression=dict(type='str', choices=['auto', 'zstd', 'gzip', 'xz', 'none'], default='auto'),
)

# options whose values people may type with a unit, of all modules
SIZES = ('spool_size', 'max_bytes', 'scratch_size', 'memory')
DURATIONS = ('freeze_timeout', 'reconnect_timeout', 'scan_timeout', 'start_timeout', 'timeout', 'dump_timeout')


def read_values(params: Dict[str, Any]) -> None:
    """Make bytes of sizes, seconds of durations, and names without blanks of lists, in PARAMS of a module. LifeboatError."""
    from .formats import quantities
    for names, read in ((SIZES, quantities.size), (DURATIONS, quantities.seconds)):
        for name in names:
            if params.get(name) is None:
                continue
            try:
                params[name] = read(params[name])
            except ValueError as exc:
                raise LifeboatError('The option %s: %s.' % (name, exc))
    for name, value in params.items():
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            params[name] = [item.strip() for item in value if item.strip()]


def run(module: Any, work: Callable[[Any], Dict[str, Any]]) -> None:
    """Call WORK(module) -> result; end the module with it. Every error that a user can meet becomes one sentence."""
    try:
        read_values(module.params)
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


def sentence(text: str) -> str:
    text = text.strip()
    # a name stays as it is: web:/srv is another container than Web:/srv
    is_word = text.split(' ')[0].rstrip('.,').isalpha() and not text.startswith(('dest', 'data_roots', 'host_root', 'include'))
    return (text[:1].upper() if text[:1].islower() and is_word else text[:1]) + text[1:] + ('' if text.endswith('.') else '.')
