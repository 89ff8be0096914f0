"""Every kind of database that can be dumped: a file of kinds/, and its line here."""
from .kinds import mysql, postgresql, redis, sqlite

KINDS = {name: module.KIND for module in (postgresql, mysql, redis, sqlite) for name in module.KIND.engines}
