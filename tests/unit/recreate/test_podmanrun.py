# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""podman.sh: the recorded command line once more."""
import shlex

from ansible_collections.lifeboat.docker.plugins.module_utils.records.definition import Definition
from ansible_collections.lifeboat.docker.plugins.module_utils.recreate import podmanrun


def script(*argv, **fields):
    made = podmanrun.files(Definition(name='web', image_recorded='shop:2', create_command=argv, **fields))
    return made.get('podman.sh')


def command(text):
    return shlex.split(text.partition('set -eu\n')[2])


def test_run_becomes_create_and_does_not_detach():
    text = script('podman', 'run', '-d', '--name', 'web', '-p', '80:80', 'shop:2', 'sh', '-d')
    assert command(text) == ['podman', 'create', '--name', 'web', '-p', '80:80', 'shop:2', 'sh', '-d']
    assert command(script('podman', 'run', '-dit', 'shop:2')) == ['podman', 'create', '-it', 'shop:2']
    assert command(script('/usr/bin/podman', 'container', 'create', 'shop:2')) == ['podman', 'create', 'shop:2']


def test_the_rescued_image_is_used():
    assert command(script('podman', 'run', 'shop:2', 'sh', image='lifeboat/web:rescued')) == ['podman', 'create', 'lifeboat/web:rescued', 'sh']
    assert 'NOTE' in script('podman', 'run', '--rootfs', '/x', image='lifeboat/web:rescued')


def test_what_was_relative_to_its_author_is_named():
    text = script('podman', '--root', '/x', 'run', '-v', './data:/data', '--env-file=prod.env', '-e', 'TOKEN', '--secret', 'key', '--rm', 'shop:2')
    for word in ('./data', 'prod.env', 'TOKEN', 'secret key', '--rm', '--root'):
        assert word in text.partition('set -eu')[0], word


def test_hostile_words_stay_words():
    words = ['podman', 'run', '--name', '$(reboot)', "it's; rm -rf /", 'a\nb', 'shop:2\n# x']
    text = script(*words)
    assert command(text) == ['podman', 'create'] + words[2:]
    assert all(line.startswith('#') for line in text.partition('set -eu')[0].splitlines())


def test_no_script_without_a_command_of_podman():
    assert script() is None and script('rm', '-rf', '/') is None and script('podman', 'pod', 'start') is None
