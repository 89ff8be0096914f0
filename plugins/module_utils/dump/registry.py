"""Every kind of database that can be dumped: a file of kinds/, and its line here."""
from .kinds import etcd, influxdb, mongodb, mysql, postgresql, rabbitmq, redis, sqlite

KINDS = {name: module.KIND for module in (postgresql, mysql, redis, sqlite, etcd, rabbitmq, influxdb, mongodb) for name in module.KIND.engines}

# kinds of which no dump is made, and why: for a sentence
REFUSED = {
    'cassandra': 'a node has only its share of the rows',
    'clickhouse': 'it has no single file that every later version reads',
    'elasticsearch': 'it has no dump that can be read without it',
    'h2': 'its file can be read by H2 alone',
    'kafka': 'its messages are in its files as they are',
    'neo4j': 'its own program reads the rescued files: neo4j-admin database dump',
    'openldap': 'its own program reads the rescued files: slapcat',
    'opensearch': 'it has no dump that can be read without it',
    'prometheus': 'it has no dump that can be read without it',
    'zookeeper': 'its snapshots can be read by it alone',
}
