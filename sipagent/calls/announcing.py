"""Notices that an agent told its caller of a transfer and began none. Pure.

Models do say "I'll connect you now" and end their turn, and the caller waits for ever. Such a promise is
known by its words, one sentence at a time, in the languages below; questions, conditions, offers and refusals
are no promises. A response that used any tool or handed over is let alone: the promise may be kept that way.
"""

from __future__ import annotations

import re

from sipagent.identifiers import ItemId
from sipagent.realtime import RealtimeToolCallItem
from sipagent.realtime.session_events import (
    RealtimeHandoffEvent,
    RealtimeHistoryAdded,
    RealtimeResponseEnded,
    RealtimeResponseStarted,
    RealtimeSessionEvent,
    RealtimeToolStart,
    RealtimeTranscriptLine,
)

REPAIRS_IN_A_ROW = 2
"""An agent that promises again and again without a tool call is not told more often than this."""

_SENTENCE = re.compile(r"[^.!?…\n]+[.!?…]*")

_SOMEWHERE = (
    r"(?=\s+(?:to|with|now|over|through|right|straight|directly|immediately|at once)\b|\s*[.,!…;]|\s*$)"
)
"""After "transfer you": to somebody, and not "you the money"."""
_PROMISES = (
    # English
    r"\b(?:i['’]?ll|i will|i['’]?m|i am|let me)\b[^,;]{0,30}?\b(?:transfer|connect|forward)(?:ring|ing)?\s+"
    r"(?:you" + _SOMEWHERE + r"|your call\b|this call\b)",
    r"\b(?:i['’]?ll|i will|i['’]?m|i am|let me)\b[^,;]{0,30}?\b(?:put|putting|patch|patching)\s+you\s+"
    r"(?:right\s+|straight\s+)?through\b",
    r"^\W*(?:now\s+)?(?:transferring|connecting|forwarding)\s+(?:you" + _SOMEWHERE + r"|your call\b)",
    r"\bwhile i\s+(?:transfer|connect|forward)\s+(?:you|your call)\b",
    r"\byou(?:['’]?re| are)\s+(?:now\s+)?being\s+(?:transferred|connected|forwarded|put through)\b",
    # German
    r"\bich\s+verbinde\s+(?:sie|dich)\b",
    r"\bich\s+(?:stelle|leite)\s+(?:sie|dich|ihren anruf|das gespräch)\b.{0,60}\b(?:durch|weiter)\b",
    r"\bich\s+werde\s+(?:sie|dich)\b.{0,60}\b(?:verbinden|durchstellen|weiterleiten)\b",
    r"\b(?:sie werden|du wirst)\b.{0,40}\b(?:verbunden|durchgestellt|weitergeleitet)\b",
    # Spanish
    r"\b(?:le|te|lo|la)\s+(?:paso|transfiero|comunico|conecto|pongo)\s+(?:ahora\s+|ya\s+|enseguida\s+|"
    r"directamente\s+)?(?:con|al|a la)\b",
    r"\b(?:le|te|lo|la)\s+voy\s+a\s+(?:pasar|transferir|comunicar|conectar)\s+(?:con|al|a la)\b",
    r"\bvoy\s+a\s+(?:pasar|transferir|comunicar|conectar)(?:l[eoa]|te)\s+(?:con|al|a la)\b",
    # French
    r"\bje\s+(?:vous|te)\s+mets\s+en\s+(?:relation|communication)\b",
    r"\bje\s+vais\s+(?:vous|te)\s+mettre\s+en\s+(?:relation|communication)\b",
    r"\bje\s+(?:vous|te)\s+transfère\s+(?:vers|à|au|chez|maintenant|tout de suite)\b",
    r"\bje\s+vais\s+(?:vous|te)\s+transférer\s+(?:vers|à|au|chez|maintenant|tout de suite)\b",
    r"\bje\s+(?:vous|te)\s+passe\s+(?:le service|la comptabilité|mon collègue|ma collègue|un conseiller|"
    r"une conseillère|un collègue|une collègue)\b",
    # Italian
    r"\b(?:la|ti)\s+(?:trasferisco|collego|metto\s+in\s+(?:contatto|comunicazione))\b",
    r"\ble\s+passo\s+(?:(?:il|un|una|la)\s+(?:reparto|collega|responsabile)|l['’]ufficio)\b",
    # Dutch
    r"\bik\s+(?:verbind|schakel)\s+(?:u|je)\b.{0,40}\bdoor\b",
    r"\bik\s+(?:zal|ga)\s+(?:u|je)\b.{0,40}\bdoor(?:verbinden|schakelen)\b",
    # Portuguese
    r"\bvou\s+transferi(?:-l[oa]|r\s+(?:(?:a\s+)?sua\s+(?:chamada|ligação)|você|o senhor|a senhora))\b",
    r"\bestou\s+(?:a\s+transferir|transferindo)\s+(?:a\s+sua|sua|você|o senhor|a senhora)\b",
)
_CONDITIONS = (
    r"\?",
    r"\b(?:if|once|when|unless|until|before|after|as soon as|in case|whether|would|could|can|may|might)\b",
    r"\b(?:wenn|falls|sobald|bevor|nachdem|ob|könnte|kann|würde|möchten|soll)\b",
    r"\b(?:si|cuando|antes|después|puedo|podría|quiere|quieres)\b",
    r"\b(?:quand|lorsque|dès que|avant|après|peux|pourrais|souhaitez|voulez)\b",
    r"\b(?:se|quando|prima|dopo|posso|potrei|vuole)\b",
    r"\b(?:als|zodra|voordat|nadat|kan|zou|wilt)\b",
    r"\b(?:depois|assim que|poderia|quer)\b",
)
"""Somewhere in the sentence: then it promises nothing yet."""
_REFUSALS = (
    r"\b(?:not|cannot|unable|never|nicht|no|nunca|ne|pas|non|niet|não)\b",
    r"\b(?:\w*n['’]t|n['’]\w+)\b",
)
"""Within the clause of the promise, which is none then. "No problem, …" stands in another clause."""
_CLAUSE = re.compile(r"[^,;:–—]+")
_PROMISE = re.compile("|".join(_PROMISES), re.IGNORECASE)
_CONDITION = re.compile("|".join(_CONDITIONS), re.IGNORECASE)
_REFUSAL = re.compile("|".join(_REFUSALS), re.IGNORECASE)


def announced_transfer(text: str) -> str | None:
    """The first sentence of ``text`` that promises a transfer, or None."""
    for found in _SENTENCE.finditer(text):
        sentence = found.group().strip()
        if _PROMISE.search(sentence) is None or _CONDITION.search(sentence) is not None:
            continue
        for clause in _CLAUSE.findall(sentence):
            if _PROMISE.search(clause) is not None and _REFUSAL.search(clause) is None:
                return sentence
    return None


class TransferPromises:
    """Follows the responses of one conversation."""

    def __init__(self) -> None:
        self._lines: dict[ItemId, str] = {}
        """What the agent says in the response that runs."""
        self._earlier: set[ItemId] = set()
        self._used_a_tool = False
        self._unkept = 0
        """Promises in a row that nothing came of."""

    def observe(self, event: RealtimeSessionEvent, *, can_transfer: bool) -> str | None:
        """Take in one event; the promise that was just not kept, if there is one to be repaired.

        ``can_transfer``: whoever leads has the tool for it, and no transfer is under way.
        """
        match event:
            case RealtimeResponseStarted():
                self._earlier.update(self._lines)
                self._lines.clear()
                self._used_a_tool = False
            case RealtimeTranscriptLine(role="agent") if event.item_id not in self._earlier:
                self._lines[event.item_id] = event.text
            case RealtimeToolStart() | RealtimeHandoffEvent():
                self._used_tool()
            case RealtimeHistoryAdded(item=RealtimeToolCallItem()):
                # It comes before the end of the response; the start of the tool may come after it.
                self._used_tool()
            case RealtimeResponseEnded(status="completed"):
                return self._ended(can_transfer=can_transfer)
            case _:
                pass
        return None

    def _used_tool(self) -> None:
        self._used_a_tool = True
        self._unkept = 0

    def _ended(self, *, can_transfer: bool) -> str | None:
        if self._used_a_tool or not can_transfer:
            return None
        for text in self._lines.values():
            promise = announced_transfer(text)
            if promise is not None:
                self._unkept += 1
                return promise if self._unkept <= REPAIRS_IN_A_ROW else None
        return None
