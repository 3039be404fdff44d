"""The real PCRE2 of this machine, to compare with."""

from __future__ import annotations

import ctypes

_NAMES = ("libpcre2-8.so.0", "libpcre2-8.so")
NO_MATCH = -1


def _load() -> ctypes.CDLL | None:
    for name in _NAMES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.pcre2_compile_8.restype = ctypes.c_void_p
        library.pcre2_match_data_create_from_pattern_8.restype = ctypes.c_void_p
        library.pcre2_get_ovector_pointer_8.restype = ctypes.POINTER(ctypes.c_size_t)
        return library
    return None


LIBRARY = _load()


class Pcre:
    """A pattern as uWSGI compiles it: without any option."""

    def __init__(self, source: bytes) -> None:
        """Raises: ValueError: PCRE refuses it."""
        assert LIBRARY is not None
        error, offset = ctypes.c_int(), ctypes.c_size_t()
        self._code = ctypes.c_void_p(
            LIBRARY.pcre2_compile_8(
                source,
                ctypes.c_size_t(len(source)),
                ctypes.c_uint32(0),
                ctypes.byref(error),
                ctypes.byref(offset),
                None,
            )
        )
        if not self._code:
            raise ValueError(f"error {error.value} at {offset.value}")
        self._data = ctypes.c_void_p(
            LIBRARY.pcre2_match_data_create_from_pattern_8(self._code, None)
        )

    def __del__(self) -> None:
        assert LIBRARY is not None
        if self._code:
            LIBRARY.pcre2_match_data_free_8(self._data)
            LIBRARY.pcre2_code_free_8(self._code)

    def search(self, subject: bytes, groups: int) -> tuple[bytes, ...] | None:
        """The match and its groups; those that took no part are empty.

        Raises:
            OverflowError: PCRE gave up.
        """
        assert LIBRARY is not None
        length, zero = ctypes.c_size_t(len(subject)), ctypes.c_size_t(0)
        found = LIBRARY.pcre2_match_8(
            self._code, subject, length, zero, ctypes.c_uint32(0), self._data, None
        )
        if found == NO_MATCH:
            return None
        if found < 0:
            raise OverflowError(found)
        pairs = LIBRARY.pcre2_get_ovector_pointer_8(self._data)
        return tuple(
            subject[pairs[2 * n] : pairs[2 * n + 1]]
            if n < found and pairs[2 * n] < 1 << 60
            else b""
            for n in range(groups + 1)
        )
