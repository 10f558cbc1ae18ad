"""The course of one leg: documents are asked for and carried out, one verb after the other.

Theory of operation. A flow is one task. What it is doing (a document, or the request for one) runs in a child
task, so that two things can cut in: the end of the leg, and the service, which by the REST API gives the leg
something else to do. Both cancel the child; verbs clean up behind themselves.
"""

from __future__ import annotations

import asyncio
from typing import Any, TypeAlias, assert_never
from urllib.parse import urljoin

from sipagent.errors import SimulatorError
from sipagent.simulator.carrier.desk import Fetch, FlowDesk
from sipagent.simulator.carrier.dialling import Dialling
from sipagent.simulator.carrier.keys import KeyCollector
from sipagent.simulator.carrier.leg import Leg, LegStatus
from sipagent.simulator.carrier.markup import MarkupError
from sipagent.simulator.carrier.posting import ServiceFailedError
from sipagent.simulator.carrier.stream import StreamEnd
from sipagent.simulator.carrier.verbs import (
    ConnectVerb,
    DialVerb,
    Document,
    GatherVerb,
    HangupVerb,
    PauseVerb,
    PlayVerb,
    RedirectVerb,
    RejectVerb,
    SayVerb,
    Verb,
)

Instruction: TypeAlias = Fetch | Document
APPLICATION_ERROR = "We are sorry, an application error has occurred. Goodbye."
"""What callers of a service that fails hear."""
_MAX_DOCUMENTS = 50


class Flow:
    """What one leg is told to do."""

    def __init__(self, leg: Leg, desk: FlowDesk, *, base_url: str = "", ends_leg: bool = True) -> None:
        """``base_url``: what relative addresses in a document given outright are relative to. ``ends_leg``:
        whether the leg is over when there is nothing more to do."""
        self.leg = leg
        self._desk = desk
        self._base_url = base_url
        self._ends_leg = ends_leg
        self._redirected: list[Instruction] = []
        self._work: asyncio.Task[Instruction | None] | None = None

    async def run(self, start: Instruction) -> None:
        """Carry out ``start`` and what follows from it. Safe to cancel."""
        following: Instruction | None = start
        for _ in range(_MAX_DOCUMENTS):
            if following is None or self.leg.is_over:
                break
            self._work = asyncio.create_task(self._carry_out(following), name=f"flow of {self.leg.sid}")
            try:
                await asyncio.wait([self._work])
            finally:
                await _stop(self._work)
            following = None if self._work.cancelled() else self._work.result()
            if self._redirected:
                following = self._redirected.pop()
                self._redirected.clear()
        if not self.leg.is_over and self._ends_leg:
            self.leg.end()

    def redirect(self, instruction: Instruction) -> None:
        """Do ``instruction`` instead of what is being done."""
        self._redirected.append(instruction)
        if self._work is not None:
            self._work.cancel()

    def leg_ended(self) -> None:
        """The leg is over: stop."""
        self._redirected.clear()
        if self._work is not None:
            self._work.cancel()

    async def _carry_out(self, instruction: Instruction) -> Instruction | None:
        """Do it; what follows, None for the end of the call."""
        try:
            if isinstance(instruction, Fetch):
                self._base_url = urljoin(self._base_url, instruction.url)
                instruction = await self._desk.fetch(self.leg, instruction)
            for warning in instruction.warnings:
                self.leg.complain(12200, warning)
            for verb in instruction.verbs:
                following = await self._perform(verb)
                if self.leg.is_over:
                    return None
                if following is not None:
                    return following
        except (ServiceFailedError, MarkupError) as error:
            self.leg.complain(error.code, str(error))
            await self._apologise()
        except SimulatorError as error:
            self.leg.complain(11100, str(error))
            await self._apologise()
        return None

    async def _apologise(self) -> None:
        await self._say(SayVerb(text=APPLICATION_ERROR))

    async def _perform(self, verb: Verb) -> Instruction | None:
        match verb:
            case SayVerb():
                await self._say(verb)
            case PlayVerb():
                await self._play(verb)
            case PauseVerb(length_s=length_s):
                self.leg.answer()
                await asyncio.sleep(length_s)
            case GatherVerb():
                return await self._gather(verb)
            case HangupVerb():
                self.leg.end(sip_status=480)
            case RejectVerb(busy=busy):
                self._reject(busy=busy)
            case RedirectVerb(url=url, method=method):
                return self._fetch(url, method)
            case DialVerb():
                return await Dialling(self.leg, verb, self._desk, base_url=self._base_url).run()
            case ConnectVerb():
                return await self._connect(verb)
            case _:
                assert_never(verb)
        return None

    def _fetch(self, url: str, method: str, **parameters: str) -> Fetch:
        return Fetch(url=urljoin(self._base_url, url), method=method, parameters=parameters)

    # The verbs

    async def _say(self, verb: SayVerb) -> None:
        self.leg.answer()
        ulaw = await self._desk.speak(verb.text)
        for _ in range(verb.times):
            self.leg.note("saying", text=verb.text)
            await self._desk.announcer.play(self.leg, ulaw)
            self.leg.sentences.append(verb.text)
            self.leg.note("said", text=verb.text)

    async def _play(self, verb: PlayVerb) -> None:
        self.leg.answer()
        if verb.digits:
            self.leg.party.press(verb.digits.replace("w", ""))
            return
        ulaw = await self._desk.sound_of(urljoin(self._base_url, verb.url), leg=self.leg)
        for _ in range(verb.times):
            await self._desk.announcer.play(self.leg, ulaw)
            self.leg.note("played", url=verb.url)

    def _reject(self, *, busy: bool) -> None:
        if self.leg.is_answered:
            self.leg.complain(12200, "<Reject> comes too late: the call is answered")
            return
        self.leg.note("rejected", reason="busy" if busy else "rejected")
        # A rejected caller hears the tone of a busy line, or that the number is not in service.
        self.leg.end(LegStatus.BUSY if busy else LegStatus.FAILED, sip_status=486 if busy else 603)

    async def _gather(self, verb: GatherVerb) -> Instruction | None:
        self.leg.answer()
        collector = KeyCollector(self.leg, digits=verb.digits, finish_on_key=verb.finish_on_key)
        self.leg.on_digit = collector.press
        prompts = asyncio.create_task(self._prompt(verb), name="gather: prompts")
        prompts.add_done_callback(lambda task: self.leg.timeline.changes.announce())
        try:
            # Whoever presses a key while something is said wants to hear no more of it.
            await self.leg.timeline.changes.until(lambda: prompts.done() or collector.begun)
            await _stop(prompts)
            if not prompts.cancelled():
                prompts.result()
            await collector.complete(verb.timeout_s)
        finally:
            await _stop(prompts)
            self.leg.release_audio()
        if not collector.digits and not verb.action_on_empty:
            return None
        self.leg.note("gathered", digits=collector.digits)
        return self._fetch(verb.action or self._base_url, verb.method, Digits=collector.digits)

    async def _prompt(self, verb: GatherVerb) -> None:
        for prompt in verb.prompts:
            await self._perform(prompt)

    async def _connect(self, verb: ConnectVerb) -> Instruction | None:
        self.leg.answer()
        stream = self._desk.stream(self.leg, verb.stream)
        record, target = stream.record, verb.stream

        def report(event: str, error: str = "") -> None:
            self._desk.report_stream(
                self.leg, target.report_to, event, stream_id=record.stream_id, name=target.name, error=error
            )

        async def tell_of_start() -> None:
            await stream.started.wait()
            report("stream-started")

        teller = asyncio.create_task(tell_of_start(), name="stream: report of its start")
        try:
            end = await stream.run()
        except asyncio.CancelledError:
            report("stream-stopped")
            raise
        finally:
            await _stop(teller)
        if end in (StreamEnd.REFUSED, StreamEnd.CUT):
            report("stream-error", f"the stream is {end.value}")
        else:
            report("stream-stopped")
        if verb.action is None:
            return None
        return self._fetch(verb.action, verb.method)


async def _stop(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait for its end; its exception stays in it, and counts as seen."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()
