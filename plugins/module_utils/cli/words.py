"""Sentences of the library in the words of the tool: arguments instead of the options of a module.

The library speaks to playbooks (data_roots, become: true). This is the one list of what that is on a command line. Only
sentences of ours go through it, and only whole words that no path or name goes on from: /srv/data_roots stays.
"""
from typing import Any, Match

from ..formats.patterns import Lazy

# what a playbook says -> what is typed; the longest first, since they are tried in this order
WORDS = (
    (r'[Rr]un as root \(become: true\)', 'run as root (sudo)'), (r'needs root \(become: true\)', 'needs root (sudo)'),
    (r'[Uu]se become: true', 'use sudo'), (r'become: true', 'sudo'),
    (r'or store_on: controller', 'or on another machine'), (r'check_space: false', '--no-check-space'), (r'force: true', '--force'),
    (r'open_files: true', '--open-files'),
    (r'orphans: true', '--orphans'), (r'on_error: continue', '--on-error continue'), (r'owner_ids: disk', '--owner-ids disk'),
    (r'(image_optional|binds_optional): false', '--refuse-if-tight'), (r'redact(_env)?: false', '--show-env'),
    (r'deployment_credentials: true', '--deployment-credentials'),
    (r'dump_scratch_dir', '--scratch-dir'), (r'dump_timeout', '--dump-timeout'),
    (r'data_roots', '--data-root'), (r'data_root', '--data-root'), (r'host_root', '--host-root'),
    (r'containerd_root', '--containerd-root'), (r'gather_subset', '--gather'), (r'max_bytes', '--max-bytes'),
    (r'unlock_key', '--unlock-key-file'), (r'Add secrets to include', 'Add --include secrets'),
    (r'on_error', '--on-error'), (r'owner_ids', '--owner-ids'), (r'host_name', '--host-name'), (r'open_files', '--open-files'),
    (r'(?<=\bin )include|(?<=\bwith )include', '--include'), (r'(?<=\banother )dest|(?<=\ba )dest|(?<=\bas )dest', 'DEST'))
_ALL = Lazy('(?<![\\w/."\'-])(?:%s)(?![\\w/"\'-]|\\.\\w)' % '|'.join('(?P<w%d>%s)' % (number, pattern) for number, (pattern, dummy) in
                                                                     enumerate(WORDS)))
TEXTS = ('message', 'next_step')


def tool(sentence: str) -> str:
    """SENTENCE of the library as the tool says it. It keeps a capital at its beginning and behind a full stop."""
    return _ALL.sub(_said, sentence)


def spoken(value: Any) -> Any:
    """A copy of a result (JSON-ready) in which the texts of problems and next steps are as the tool says them."""
    if isinstance(value, dict):
        return {key: tool(item) if key in TEXTS and isinstance(item, str) else
                [tool(one) if isinstance(one, str) else spoken(one) for one in item] if key == 'next_steps' and isinstance(item, list) else
                spoken(item) for key, item in value.items()}
    if isinstance(value, list):
        return [spoken(item) for item in value]
    return value


def _said(match: Match[str]) -> str:
    number = next(number for number in range(len(WORDS)) if match.group('w%d' % number) is not None)
    said = WORDS[number][1]
    return said[:1].upper() + said[1:] if match.group()[:1].isupper() else said
