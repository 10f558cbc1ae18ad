"""What happens between carriers and us, for ``/metrics``."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge

_KNOWN = frozenset({"twilio", "telnyx", "asterisk"})


class CarrierMetrics:
    """The part of the metrics of one service that is about carriers and recordings. Never waits and never
    raises."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._webhooks = Counter(
            "sipagent_carrier_webhooks",
            "Requests of carriers, by carrier and by what became of them.",
            ["carrier", "result"],
            registry=registry,
        )
        self._steps = Counter(
            "sipagent_carrier_steps",
            "Ways to answer that carriers were told to try, by carrier, way and what came of it.",
            ["carrier", "step", "result"],
            registry=registry,
        )
        self._dropped = Counter(
            "sipagent_bridge_frames_dropped",
            "Frames of audio between a carrier and a model that came too fast to be kept, by direction.",
            ["direction"],
            registry=registry,
        )
        for direction in ("to_model", "to_carrier"):
            self._dropped.labels(direction)
        self._streams = Gauge(
            "sipagent_bridge_streams", "Audio sockets of carriers that are open.", registry=registry
        )
        self._recordings_ended = Counter(
            "sipagent_recordings_ended",
            "Recordings whose time was over, by what became of the file.",
            ["result"],
            registry=registry,
        )
        self._overdue = Gauge(
            "sipagent_recordings_overdue",
            "Recordings whose time is over: here when the file could not be deleted, elsewhere when another "
            "machine wrote it and has not deleted it yet.",
            ["where"],
            registry=registry,
        )

    def carrier_webhook(self, carrier: str, result: str) -> None:
        """A request in a carrier's name was answered; ``result`` is ``ok``, ``duplicate``, ``bad_signature``,
        ``bad_body``, ``late``, ``replayed`` or ``limited``."""
        self._webhooks.labels(_name(carrier), result).inc()

    def carrier_step(self, carrier: str, step: str, result: str) -> None:
        """A carrier has tried a way to answer (``sip``, ``stream``, ``number``, ``message``); ``result`` is
        one of few words, such as ``ended``, ``busy``, ``no_answer``, ``failed``, ``rejected``."""
        self._steps.labels(_name(carrier), step, result).inc()

    def stream_frames_dropped(self, direction: str, frames: int = 1) -> None:
        """So many frames are lost on their way ``to_model`` or ``to_carrier``."""
        self._dropped.labels(direction).inc(frames)

    def watch_live_streams(self, count: Callable[[], int]) -> None:
        """Ask ``count`` at every scrape how many audio sockets are open."""
        self._streams.set_function(count)

    def recording_ended(self, result: str) -> None:
        """The time of a recording was over: its file was deleted (``expired``), was gone before
        (``missing``), could not be deleted (``failed``), or was in no record (``unknown``)."""
        self._recordings_ended.labels(result).inc()

    def recordings_overdue(self, *, here: int, elsewhere: int) -> None:
        """So many recordings should be gone and are not."""
        self._overdue.labels("here").set(here)
        self._overdue.labels("elsewhere").set(elsewhere)


def _name(carrier: str) -> str:
    """What is shown: a name that came from outside would be kept for ever."""
    return carrier if carrier in _KNOWN else "other"
