"""Files of dead containers in a playbook."""
import base64
import os

import deadroot
import pytest
from ansible import template
from ansible.errors import AnsibleLookupError
from ansible.parsing.dataloader import DataLoader

from ansible_collections.lifeboat.docker.plugins.lookup import dead_file


@pytest.fixture(scope='module')
def dead(tmp_path_factory):
    tmp = tmp_path_factory.mktemp('host')
    expected = deadroot.build(str(tmp / 'var/lib/docker'), containers=2, host_root=str(tmp))
    data = os.fsdecode(expected.volume('shop_uploads').path)
    for name, raw in (('template', b"{{ lookup('pipe', 'id') }}"), ('bytes', b'\xff\x00key')):
        with open(os.path.join(data, name), 'wb') as out:
            out.write(raw)
    return expected, str(tmp)


def look(dead, *terms, **options):
    plugin = dead_file.LookupModule()
    given = dict({'host_root': dead[1], 'data_roots': [], 'containerd_root': None, 'engines': ['all'], 'base64': False, 'max_size': '16M'}, **options)
    plugin.set_options = lambda **dummy: None
    plugin.get_option = given.__getitem__
    return plugin.run(list(terms), {})


def test_files_of_layers_and_volumes(dead):
    node = dead[0].container('web').tree()[b'var/www/index.html']
    assert look(dead, 'web:/var/www/index.html', 'web:/srv/uploads/template') == [node.data.decode(), "{{ lookup('pipe', 'id') }}"]


def test_bytes_that_are_no_text_want_base64(dead):
    with pytest.raises(AnsibleLookupError, match='base64=true'):
        look(dead, 'web:/srv/uploads/bytes')
    assert [base64.b64decode(item) for item in look(dead, 'volume:shop_uploads:/bytes', base64=True)] == [b'\xff\x00key']


@pytest.mark.parametrize('term, said', [('web:/nope/x', 'nearest folder that exists is /'), ('nobody:/x', 'No container'), ('web:/srv', 'no regular file'),
                                        ('web', 'no path')])
def test_what_is_not_there_is_one_sentence(dead, term, said):
    with pytest.raises(AnsibleLookupError, match=said):
        look(dead, term)


def test_a_large_file_is_refused_and_not_cut(dead):
    with pytest.raises(AnsibleLookupError, match='max_size'):
        look(dead, 'web:/srv/uploads/template', max_size='10')


def test_it_is_never_templated(dead):
    trusted = getattr(template, 'trust_as_template', str)       # ansible-core 2.19 and later
    found = look(dead, 'web:/srv/uploads/template')[0]
    templar = template.Templar(loader=DataLoader(), variables={'content': found})
    assert templar.template(trusted('{{ content }}')) == "{{ lookup('pipe', 'id') }}"
