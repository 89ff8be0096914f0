import os
import sqlite3

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.restore import databases


@pytest.mark.parametrize('env, engine, version', [
    ('PG_MAJOR=15', 'postgresql', '15'), ('PG_VERSION=15.4-1.pgdg120+1', 'postgresql', '15.4'),
    ('MARIADB_VERSION=1:10.11.2+maria~ubu2204', 'mariadb', '10.11.2'), ('MYSQL_MAJOR=8.0', 'mysql', '8.0'),
    ('REDIS_VERSION=7.2.4', 'redis', '7.2.4'), ('PG_MAJOR=', 'postgresql', None), ('OTHER=1', 'postgresql', None)])
def test_version_of_an_image(env, engine, version):
    assert databases.image_versions({'Env': ['PATH=/bin', env]}).get(engine) == version


def test_version_by_label():
    labels = {'org.opencontainers.image.title': 'Elasticsearch', 'org.opencontainers.image.version': '8.11.1'}
    assert databases.image_versions({'Labels': labels})['elasticsearch'] == '8.11.1'
    assert databases.image_versions(None) == databases.image_versions({'Env': 5, 'Labels': []}) == {}


@pytest.mark.parametrize('engine, data, image, fits', [
    ('postgresql', '15', '15.4', True), ('postgresql', '15', '17', False), ('postgresql', '17', '15', False),
    ('postgresql', '9.6', '9.5', False), ('postgresql', '9.6', '9.6.24', True), ('postgresql', None, '17', True),
    ('postgresql', '15', None, True), ('mysql', '8.0.36', '8.0.34', True), ('mysql', '8.4.0', '8.0.34', False),
    ('mysql', '5.7.44', '8.0', True), ('mongodb', '7.0', '6.0', False), ('redis', '7.0', '6.0', True)])
def test_data_and_image(engine, data, image, fits):
    found = databases.mismatch([{'engine': engine, 'title': engine, 'version': data, 'path': '/x'}],
                               {engine: image} if image else {})
    assert (found is None) == fits
    if not fits:
        assert data in found and image in found and '/x' in found


def test_sqlite_with_its_log_says_what_to_expect(tmp_path):
    (tmp_path / 'app.db').write_bytes(b'SQLite format 3\0' + b'\x10\x00\x02\x02\x00\x40\x20\x20' + bytes(4072))
    (tmp_path / 'app.db-wal').write_bytes(b'\x37\x7f\x06\x82' + bytes(60))
    found = databases.find(os.fsencode(str(tmp_path)))
    assert [(item['engine'], item['path'], item['clean_shutdown']) for item in found] == [('sqlite', '/app.db', False)]
    assert '-wal' in found[0]['expect']


def test_nothing_there(tmp_path):
    (tmp_path / 'a').write_bytes(b'x')
    assert databases.find(os.fsencode(str(tmp_path))) == [] == databases.find(b'/nowhere')


def test_the_engine_keeps_its_volumes_behind_a_link(tmp_path):
    """/var/lib/docker of a running engine may be the administrator's link to another disk."""
    (tmp_path / 'disk' / 'v').mkdir(parents=True)
    (tmp_path / 'link').symlink_to('disk')
    with sqlite3.connect(str(tmp_path / 'disk' / 'v' / 'a.db')) as database:
        database.execute('create table t (x)')
    assert [one['engine'] for one in databases.find(os.fsencode(str(tmp_path / 'link' / 'v')))] == ['sqlite']


def test_a_folder_whose_path_is_of_another_mount_namespace(tmp_path):
    """The engine's volumes may be seen through its process only: then just the descriptor leads to them."""
    (tmp_path / 'v').mkdir()
    with sqlite3.connect(str(tmp_path / 'v' / 'a.db')) as database:
        database.execute('create table t (x)')
    fd = os.open(str(tmp_path / 'v'), os.O_RDONLY)
    try:
        (tmp_path / 'v').rename(tmp_path / 'elsewhere')
        assert [one['engine'] for one in databases.find(fd)] == ['sqlite']
    finally:
        os.close(fd)
