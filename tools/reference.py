"""docs/reference/: every option and result of modules, filters and roles, made by antsibull-docs from their documentation.

    python3 tools/reference.py            write docs/reference/ (`make reference`)

`make lint` checks that it is current. The pages are those of the release: nothing in them tells when or where they
were made.
"""
import os
import re
import shutil
import sys
import tempfile

import envs
import tree

FOLDER = os.path.join('docs', 'reference')
HEAD = '''.. Made by `make reference` from the documentation in plugins/ and roles/. Do not edit it.

'''


def pages(environment, top, scratch):
    """{file name: text} of the collection in the tree TOP, by the antsibull-docs in ENVIRONMENT. Raises envs.Missing.

    antsibull-docs runs the ansible-doc that it finds in PATH, and that must be the one beside it. ansible-doc finds no
    roles in a tree that lies inside another collection, as a checkout may.
    """
    own = os.path.join(environment, 'bin')
    envs.run(['env', 'PATH=' + own + os.pathsep + os.environ.get('PATH', os.defpath), 'ANSIBLE_COLLECTIONS_PATH=' + top,
              'HOME=' + scratch, os.path.join(own, 'antsibull-docs'), 'collection', '--use-current', '--squash-hierarchy',
              '--no-add-antsibull-docs-version', '--fail-on-error', '--output-format', 'simplified-rst',
              '--dest-dir', scratch, 'lifeboat.docker'], 'antsibull-docs could not make the reference')
    found = {}
    for name in sorted(os.listdir(scratch)):
        if name.endswith('.rst'):
            with open(os.path.join(scratch, name), encoding='utf-8') as made:
                text = re.sub(r'[ \t]+$', '', made.read(), flags=re.M)
            found[name] = HEAD + re.sub(r'\n{4,}', '\n\n\n', text).strip() + '\n'
    return found


def current(folder):
    """{file name: text} of what lies there."""
    found = {}
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        with open(os.path.join(folder, name), encoding='utf-8') as page:
            found[name] = page.read()
    return found


def stale(made, folder):
    """Names of pages that differ from MADE, are missing in FOLDER or do not belong there."""
    there = current(folder)
    return sorted(name for name in set(made) | set(there) if made.get(name) != there.get(name))


def main():
    if len(sys.argv) != 1:
        sys.exit(__doc__)
    environment = envs.make(['lint'], envs.controller(), 'lint')
    with tempfile.TemporaryDirectory(prefix='reference-') as top, tempfile.TemporaryDirectory(prefix='made-') as scratch:
        tree.build(top)
        made = pages(environment, top, scratch)
    folder = os.path.join(envs.CHECKOUT, FOLDER)
    changed = stale(made, folder)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    for name, text in made.items():
        with open(os.path.join(folder, name), 'w', encoding='utf-8') as out:
            out.write(text)
    print('%d pages in %s, changed: %s' % (len(made), FOLDER, ', '.join(changed) or 'none'))


if __name__ == '__main__':
    try:
        main()
    except envs.Missing as problem:
        sys.exit('%s' % problem)
