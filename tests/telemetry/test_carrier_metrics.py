from __future__ import annotations

from sipagent.telemetry import Metrics
from tests.telemetry.test_metrics import value


def test_webhooks_and_steps_are_counted_by_what_became_of_them() -> None:
    metrics = Metrics()
    metrics.carriers.carrier_webhook("twilio", "ok")
    metrics.carriers.carrier_webhook("twilio", "ok")
    metrics.carriers.carrier_webhook("telnyx", "late")
    metrics.carriers.carrier_step("twilio", "sip", "failed")
    assert value(metrics, "sipagent_carrier_webhooks_total", carrier="twilio", result="ok") == 2
    assert value(metrics, "sipagent_carrier_webhooks_total", carrier="telnyx", result="late") == 1
    assert value(metrics, "sipagent_carrier_steps_total", carrier="twilio", step="sip", result="failed") == 1


def test_a_carrier_that_nobody_knows_has_no_label_of_its_own() -> None:
    metrics = Metrics()
    for number in range(3):
        metrics.carriers.carrier_webhook(f"carrier {number}", "bad_signature")
    assert value(metrics, "sipagent_carrier_webhooks_total", carrier="other", result="bad_signature") == 3


def test_dropped_frames_are_counted_by_direction_and_shown_before_the_first() -> None:
    metrics = Metrics()
    assert value(metrics, "sipagent_bridge_frames_dropped_total", direction="to_model") == 0
    metrics.carriers.stream_frames_dropped("to_carrier", 3)
    metrics.carriers.stream_frames_dropped("to_carrier")
    assert value(metrics, "sipagent_bridge_frames_dropped_total", direction="to_carrier") == 4


def test_open_streams_are_asked_for_at_every_scrape() -> None:
    metrics = Metrics()
    assert value(metrics, "sipagent_bridge_streams") == 0
    streams = [1, 2]
    metrics.carriers.watch_live_streams(lambda: len(streams))
    assert value(metrics, "sipagent_bridge_streams") == 2
    streams.pop()
    assert value(metrics, "sipagent_bridge_streams") == 1


def test_recordings_whose_time_is_over() -> None:
    metrics = Metrics()
    metrics.carriers.recording_ended("expired")
    metrics.carriers.recordings_overdue(here=2, elsewhere=1)
    assert value(metrics, "sipagent_recordings_ended_total", result="expired") == 1
    assert value(metrics, "sipagent_recordings_overdue", where="here") == 2
    assert value(metrics, "sipagent_recordings_overdue", where="elsewhere") == 1
