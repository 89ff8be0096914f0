"""`make changelog`: CHANGELOG.md and changelogs/changelog.yaml for galaxy.yml's version, from fragments and plugins.

May be run again: the entry of this version is made anew (antsibull-changelog would refuse). The date is that of the
last commit, or of SOURCE_DATE_EPOCH.
"""
import os
import re
import shutil
import sys
import tempfile
import time

import envs
import release
import tree

# the version's entry is dropped first, by the environment's own PyYAML
DROP = '''import sys, yaml
path, version = sys.argv[1:]
with open(path, encoding="utf-8") as raw:
    content = yaml.safe_load(raw)
content["releases"].pop(version, None)
with open(path, "w", encoding="utf-8") as out:
    yaml.safe_dump(content, out)
'''
FILES = ('CHANGELOG.md', os.path.join('changelogs', 'changelog.yaml'))


def main():
    with open(os.path.join(envs.CHECKOUT, 'galaxy.yml'), encoding='utf-8') as raw:
        version = re.search(r'^version: *(\S+)', raw.read(), re.M).group(1)
    own = os.path.join(envs.make(['lint'], envs.controller(), 'lint'), 'bin')
    with tempfile.TemporaryDirectory(prefix='changelog-', dir=envs.VENV) as scratch:
        collection = tree.build(scratch)
        entries = os.path.join(collection, FILES[1])
        if os.path.exists(entries):
            envs.run([os.path.join(own, 'python'), '-c', DROP, entries, version], 'changelog.yaml is damaged')
        os.environ.update(ANSIBLE_COLLECTIONS_PATH=scratch, PATH=own + os.pathsep + os.environ.get('PATH', os.defpath))
        envs.run([os.path.join(own, 'antsibull-changelog'), 'release', '--reload-plugins', '--date',
                  time.strftime('%Y-%m-%d', time.gmtime(release.epoch()))],
                 'antsibull-changelog failed', cwd=collection)
        for name in FILES:
            shutil.copyfile(os.path.join(collection, name), os.path.join(envs.CHECKOUT, name))
    print('wrote %s' % ', '.join(FILES))


if __name__ == '__main__':
    try:
        main()
    except envs.Missing as problem:
        sys.exit('%s' % problem)
