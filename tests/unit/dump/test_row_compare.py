"""Rows of the dump and of the server side by side."""
from ansible_collections.lifeboat.docker.plugins.module_utils.dump.compare import MAX_NAMED, compare, label


def test_no_two_tables_have_the_same_name():
    keys = [('a', 'b.c', 'd'), ('a.b', 'c', 'd'), ('a', 'b', 'c.d'), ('a', '"b"', 'c'), ('a', 'b', 'c')]
    assert label(('shop', 'public', 'order-lines')) == 'shop.public.order-lines'
    assert len({label(key) for key in keys}) == len(keys)


def test_of_many_the_first_are_named_and_the_rest_is_counted():
    found = compare({('d', 't%04d' % number): 1 for number in range(1000)}, {})
    assert len(found.partial) == MAX_NAMED + 1 and found.partial[-1] == '%d more like these' % (1000 - MAX_NAMED)
    assert found.marks == ['count_differs=1000'] and len(found.counts) == 1000


def test_rows_that_could_not_be_counted_in_the_dump_are_no_success():
    found = compare({('d', 't'): 1}, {('d', 't'): None})
    assert found.partial == ['the rows of d.t in the dump could not be counted'] and found.marks == ['not_counted=1']
