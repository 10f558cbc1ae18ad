"""Characters that steer a terminal, break a line or turn the order of text around, and what stands for them.

Strangers choose part of what is written into logs and shown in terminals: SIP headers, what callers say, what
tools answer. None of it may colour, move, hide or forge anything there.
"""

from __future__ import annotations

_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_CONTROLS = (*range(0x20), *range(0x7F, 0xA0))  # C0, DEL, C1: ESC and CSI among them
_SEPARATORS = (0x2028, 0x2029)
_BIDIRECTIONAL = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_MARKS = (0xFEFF, *range(0xFFF9, 0xFFFC), *range(0xE0000, 0xE0080))  # byte order, annotations, tags
_SURROGATES = range(0xD800, 0xE000)  # half a character, which no encoding can hold


def _escape(code: int) -> str:
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escape(code: int) -> str:
    if code < 0x10000:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"


_ALL = (*_CONTROLS, *_SEPARATORS, *_BIDIRECTIONAL, *_MARKS, *_SURROGATES)
_LINE = {code: _NAMED.get(chr(code)) or _escape(code) for code in _ALL}
_LINES = {code: shown for code, shown in _LINE.items() if chr(code) not in "\n\t"}
_JSON = {code: _json_escape(code) for code in _ALL if code >= 0x20}


def one_line(text: str) -> str:
    """``text`` as it can be shown in one line of a log or a terminal."""
    return text if text.isprintable() and text.isascii() else text.translate(_LINE)


def some_lines(text: str) -> str:
    """``text`` as it can be shown in a terminal; its line breaks and tabs stay."""
    return text if text.isprintable() and text.isascii() else text.translate(_LINES)


def whole(text: str) -> str:
    """``text`` with U+FFFD in place of each half of a character: JSON may carry one, and no encoding can."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def in_json(written: str) -> str:
    """JSON that means what ``written`` means, and can be shown in a terminal. Line breaks between its values
    stay; its strings hold none."""
    return written if written.isascii() and "\x7f" not in written else written.translate(_JSON)
