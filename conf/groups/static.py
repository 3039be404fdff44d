"""Static files: which paths are files, and what is said of them.

After spec/cache-static-offload-websockets.md part B. ``uwgate.files.rules`` reads the values.
"""

from __future__ import annotations

from dataclasses import dataclass

from uwgate.conf.option import Kind, option


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticOptions:
    """Files that are served without asking the application."""

    check_static: tuple[str, ...] = option(
        (),
        kind=Kind.PATH,
        aliases=("static-check",),
        help="Serve what is a file at the request's path below this directory.",
    )
    static_map: tuple[str, ...] = option(
        (),
        kind=Kind.PAIR,
        help="Serve paths below a prefix from a directory or file: /prefix=directory.",
    )
    static_map2: tuple[str, ...] = option(
        (), kind=Kind.PAIR, help="The same, the prefix being the name of a directory in it."
    )
    check_static_docroot: bool = option(
        False, kind=Kind.BOOL, help="Look for files in the DOCUMENT_ROOT of the front server, too."
    )
    static_internal: tuple[str, ...] = option(
        (),
        kind=Kind.PAIR,
        ours=True,
        help="Like static-map, but only for X-Accel-Redirect of applications, which is then "
        "followed.",
    )
    static_x_sendfile: bool = option(
        False,
        kind=Kind.BOOL,
        ours=True,
        help="Send the file that an application names by X-Sendfile: one that is mapped or safe.",
    )
    static_memory: int = option(
        16 * 1024 * 1024,
        kind=Kind.BYTES,
        ours=True,
        help="Bytes of small files that each process keeps; 0: none. They are always up to date.",
    )
    static_skip_ext: tuple[str, ...] = option(
        (), kind=Kind.TEXT, help="Never serve what ends with this text."
    )
    static_index: tuple[str, ...] = option(
        (), kind=Kind.TEXT, help="File that is served for a directory; the first that is there."
    )
    static_safe: tuple[str, ...] = option(
        (),
        kind=Kind.PATH,
        help="File or directory that links and X-Sendfile may lead to, outside of the others.",
    )
    static_symlinks: str = option(
        "inside",
        kind=Kind.TEXT,
        choices=("inside", "none"),
        ours=True,
        help="Symbolic links that are followed: those that stay inside, or none.",
    )
    static_cache_paths: int = option(
        0, kind=Kind.INT, help="Remember for so many seconds which option a path was found by."
    )
    static_cache_paths_name: str | None = option(
        None, kind=Kind.TEXT, help="No cache needs to be named: each process has one of its own."
    )
    mime_file: tuple[str, ...] = option(
        (),
        kind=Kind.PATH,
        aliases=("mimefile",),
        help="Types of files by their extension, instead of /etc/mime.types.",
    )
    static_gzip: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        help="Look for compressed twins (.br, .zst, .gz) of files whose path matches a pattern.",
    )
    static_gzip_all: bool = option(
        False, kind=Kind.BOOL, help="Look for compressed twins of all files."
    )
    static_gzip_dir: tuple[str, ...] = option(
        (),
        kind=Kind.PATH,
        aliases=("static-gzip-prefix",),
        help="Look for compressed twins of files below a directory.",
    )
    static_gzip_ext: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        aliases=("static-gzip-suffix",),
        help="Look for compressed twins of files whose path ends with this text.",
    )
    static_expires: tuple[str, ...] = option(
        (), kind=Kind.TEXT, help="Seconds to keep files whose path matches: pattern seconds."
    )
    static_expires_mtime: tuple[str, ...] = option(
        (), kind=Kind.TEXT, help="The same, counted from the last change of the file."
    )
    static_expires_path_info: tuple[str, ...] = option(
        (), kind=Kind.TEXT, help="Seconds to keep a file, by PATH_INFO: pattern seconds."
    )
    static_expires_path_info_mtime: tuple[str, ...] = option(
        (), kind=Kind.TEXT, help="The same, counted from the last change of the file."
    )
    static_expires_uri: tuple[str, ...] = option(
        (), kind=Kind.TEXT, help="Seconds to keep a file, by REQUEST_URI: pattern seconds."
    )
    static_expires_uri_mtime: tuple[str, ...] = option(
        (), kind=Kind.TEXT, help="The same, counted from the last change of the file."
    )
    static_expires_type: tuple[str, ...] = option(
        (), kind=Kind.PAIR, help="Seconds to keep files of a type: type=seconds."
    )
    static_expires_type_mtime: tuple[str, ...] = option(
        (), kind=Kind.PAIR, help="The same, counted from the last change of the file."
    )
    honour_range: bool = option(True, kind=Kind.BOOL, help="Serve parts of files (Range).")
    file_serve_mode: str | None = option(
        None,
        kind=Kind.TEXT,
        aliases=("fileserve-mode",),
        choices=("x-sendfile", "xsendfile", "x-accel-redirect", "xaccelredirect", "nginx"),
        help="Name the file to the front server instead of sending it.",
    )
