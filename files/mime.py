"""Types of files by their extensions (spec part B1).

The table of uWSGI is /etc/mime.types alone; this one begins with what every site needs, so that
a machine without that file does not send its style sheets without a type.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_TABLE = 4 * 1024 * 1024  # bytes of a file of types; Debian's has 70 KiB
DEFAULT_FILES = (b"/etc/mime.types", b"/etc/apache2/mime.types")

_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9!#$&^_.+-]+")  # RFC 6838: 4.2

_CORE = """
text/css                        css
text/csv                        csv
text/html                       html htm
text/javascript                 js mjs
text/markdown                   md
text/plain                      txt text log
text/vtt                        vtt
text/xml                        xml
application/atom+xml            atom
application/epub+zip            epub
application/gzip                gz
application/json                json map
application/ld+json             jsonld
application/manifest+json       webmanifest
application/octet-stream        bin
application/pdf                 pdf
application/rss+xml             rss
application/wasm                wasm
application/xhtml+xml           xhtml
application/zip                 zip
application/zstd                zst
audio/aac                       aac
audio/flac                      flac
audio/mp4                       m4a
audio/mpeg                      mp3
audio/ogg                       ogg oga opus
audio/wav                       wav
font/otf                        otf
font/ttf                        ttf
font/woff                       woff
font/woff2                      woff2
image/apng                      apng
image/avif                      avif
image/bmp                       bmp
image/gif                       gif
image/jpeg                      jpg jpeg
image/jxl                       jxl
image/png                       png
image/svg+xml                   svg
image/tiff                      tif tiff
image/vnd.microsoft.icon        ico
image/webp                      webp
video/mp4                       mp4
video/mpeg                      mpeg mpg
video/ogg                       ogv
video/quicktime                 mov
video/webm                      webm
"""


class MimeTable:
    """A type for each extension; later texts go over earlier ones."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._types: dict[bytes, bytes] = {}
        for text in (_CORE, *texts):
            self._add(text)

    def type_of(self, name: bytes) -> bytes | None:
        """The type of a file's name; None if nobody said one.

        The extension counts as it is written, then in small letters.
        """
        _, dot, extension = name.rpartition(b"/")[2].rpartition(b".")
        if not dot:
            return None
        return self._types.get(extension) or self._types.get(extension.lower())

    def _add(self, text: str) -> None:
        for line in text.splitlines():
            kind, *extensions = line.partition("#")[0].split() or [""]
            if _TYPE.fullmatch(kind):
                value = kind.encode()
                self._types.update((one.encode(), value) for one in extensions)
