import collections
import json

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import texts
from ansible_collections.lifeboat.docker.plugins.module_utils.records import model

Logged = collections.namedtuple('Logged', 'id name log')


def readable(tmp_path, *records):
    path = tmp_path / 'c-json.log'
    with open(str(path), 'w') as handle:
        for number, (stream, text) in enumerate(records):
            handle.write(json.dumps({'log': text, 'stream': stream, 'time': '2026-01-02T03:04:0%dZ' % number}) + '\n')
    problems = []
    log = model.Log('json-file', (str(path).encode(),), 0, None)
    said = b''.join(texts.readable(Logged('c' * 64, 'box', log), problems))
    assert problems == []
    return said.decode().replace('2026-01-02T03:04:0', '').replace('.000000000', '')


def test_pieces_of_a_long_line_stay_together(tmp_path):
    assert readable(tmp_path, ('stdout', 'a'), ('stdout', 'b\n'), ('stderr', 'e\n')) == '0Z a1Z b\n2Z e\n'


def test_a_line_of_the_other_stream_gets_a_line_of_its_own(tmp_path):
    """As the engine may write it: both streams are copied at once."""
    assert readable(tmp_path, ('stdout', 'a'), ('stderr', 'e\n'), ('stdout', 'b\n')) == '0Z a\n1Z e\n2Z b\n'


def test_the_readme_names_the_other_image_that_a_dump_was_made_with():
    component = {'kind': 'dump', 'file': 'dump/postgresql-1.sql.gz', 'engine': 'postgresql', 'data_path': '/data', 'tables': 2, 'rows': 5,
                 'marks': ['ready after 1.0 s', 'other_image: shop/db:2\x1b[2J'], 'missing': []}
    # pylint: disable-next=protected-access
    said = texts._part(component, 'db', {})
    assert '2 tables, 5 rows, made with the server of another image, shop/db:2' in said and '\x1b' not in said
    # pylint: disable-next=protected-access
    assert 'another image' not in texts._part(dict(component, marks=['ready after 1.0 s', 7]), 'db', {})
