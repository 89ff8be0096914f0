"""Every kind of database and other state that can be recognised: one file of this folder and one line here each."""
import re

from . import documents, embedded, people, queues, redis, relational, search, series

FINDERS = (relational.FINDER, documents.FINDER, redis.FINDER, embedded.FINDER, search.FINDER, series.FINDER, queues.FINDER,
           people.FINDER)

KINDS = {kind.name: kind for finder in FINDERS for kind in finder.kinds}
# A name in a folder -> the function that looks. Names of files and of folders.
MARKERS = {name: function for finder in FINDERS for name, function in finder.markers.items()}
# The last four characters of a file's name -> the function.
TAILS = {tail: function for finder in FINDERS for tail, function in finder.tails.items()}
# Files whose size is a multiple of 512 -> by their first bytes.
PAGED = tuple(function for finder in FINDERS for function in finder.paged)
# What a page-sized file must show in its first 32 bytes before one of PAGED looks closer.
PAGED_SIGNS = re.compile(
    br'SQLite format 3\0|H:\d,block|.{16}(?:\xed\xda\x0c\xed|\xde\xc0\xef\xbe)'
    br'|.{12}(?:\x62\x31\x05\0|\x61\x15\x06\0|\0\x05\x31\x62|\0\x06\x15\x61)', re.DOTALL)
# Last four characters of media and document files; many of them together are uploads.
MEDIA = frozenset((b'.jpg', b'.JPG', b'jpeg', b'JPEG', b'.png', b'.PNG', b'.gif', b'webp', b'heic', b'HEIC', b'.mp4',
                   b'.MP4', b'.mov', b'.MOV', b'.mp3', b'flac', b'.ogg', b'.wav', b'.mkv', b'.avi', b'.pdf', b'.PDF',
                   b'.doc', b'docx', b'.xls', b'xlsx', b'.ppt', b'pptx', b'.odt', b'.ods', b'.zip', b'.tif', b'tiff'))
