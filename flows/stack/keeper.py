"""Minds the parts of a stack: starts them in order, says what happens, restarts, stops them all.

One event loop, one coroutine a part. Nothing here knows what a part is for: that is parts.py.
No part outlives us: the kernel ends them with us, and the warden what they started.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.errors import Broken
from flows.children import Child, Children
from flows.stack.kept import Kept, now, write_state
from flows.stack.logs import Logs, Terminal
from flows.stack.mark import end_marked, marked, marks, send
from flows.stack.part import Part
from flows.stack.states import RUNNING, SERVING, STEADY_S, Event, State, backoff_s

LOOK_S = 0.2
MISSING_S = 1.0
PROBE_STARTING_S = 0.3
PROBE_UP_S = 5.0
UNANSWERED_MAX = 3
# A part that hangs is started anew; a slow one is not. At a load of 17 on two cores the slowest
# start took 85 s (part.py). Thirty questions in a row without an answer within 2 s take 2.5 to 3.5
# minutes, twice that; the one more that is asked then may take a minute.
HUNG_UNANSWERED = 30
PATIENCE_S = 60.0
# Together below the promised 15 s, with time left to kill what ignores them.
GRACE_S = (5.0, 4.0, 3.0, 1.0)
OWN_LOG = "up"


class Keeper:
    """The keeper of one home's stack.

    Parameters
    ----------
    root : Path
        The home, absolute; its stack lock is held by the caller.
    parts : sequence of Part
        In the order in which they are told; each only needs parts of this list.
    children : Children
        Starts the processes with the home's environment.
    elsewhere : dict of str to str
        Servers that others run and we use: name to address. Told, not minded.
    """

    def __init__(
        self, root: Path, parts: Sequence[Part], children: Children, elsewhere: dict[str, str]
    ) -> None:
        self._root = root
        self._kept = {part.name: Kept(part) for part in parts}
        self._children = children
        self._elsewhere = elsewhere
        self._since = now()
        self._ended: dict[int, asyncio.Future[None]] = {}
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._terminal = Terminal()
        self._logs = Logs(children.logs, self._terminal.show)
        self._logs.follow(OWN_LOG, skip=len(now()) + 1)  # the view has a time of its own
        for name in self._kept:
            self._logs.follow(name)

    async def run(self) -> bool:
        """Run until SIGINT, SIGTERM or SIGHUP; return whether every part ended within its time."""
        self._terminal.start()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue  # started with nohup: it means to outlive its terminal
            loop.add_signal_handler(number, self._asked_to_stop, number)
        following = asyncio.create_task(self._follow())
        minding = [asyncio.create_task(self._mind(kept)) for kept in self._kept.values()]
        asked = asyncio.create_task(self._stopping.wait())
        # minding ends early only by a bug of ours: then stop, never leave a part unminded
        await asyncio.wait([asked, *minding], return_when=asyncio.FIRST_COMPLETED)
        self._stopping.set()
        orderly = await self._stop()
        following.cancel()
        faults = await asyncio.gather(*minding, return_exceptions=True)
        self._logs.look()
        self._terminal.close()
        for fault in faults:
            if isinstance(fault, BaseException):
                raise fault
        return orderly

    # -- one part -----------------------------------------------------------------------------

    async def _mind(self, kept: Kept) -> None:
        while not self._stopping.is_set():
            if not await self._cleared(kept):
                break
            self._start(kept)
            why = await self._until_ended(kept)
            if self._stopping.is_set():
                break
            if why is None:
                self._change(kept, Event.FINISHED)
                break
            if not await self._fallen(kept, why):
                break
        await self._stopping.wait()

    async def _cleared(self, kept: Kept) -> bool:
        """Wait for what the part needs; False if we are stopping."""
        while True:
            lacking = [n for n in kept.part.needs if self._kept[n].state not in SERVING]
            why = f"for {' and '.join(lacking)}" if lacking else kept.part.missing()
            if why is None:
                return True
            if why != kept.why:
                kept.why = why
                if not lacking:
                    self.say(f"{kept.part.name} waits: {why}")
                self._write()
            if await self._pause(LOOK_S if lacking else MISSING_S):
                return False

    def _start(self, kept: Kept) -> None:
        part = kept.part
        child = self._children.start(
            part.name,
            part.command,
            extra={**part.extra, **marks(self._root, part.name)},
            tethered=part.tethered,
        )
        kept.child = child
        self._ended[child.pid] = _end_of(child)
        self._change(kept, Event.CLEARED)
        if part.probe is None and not part.once:
            self._change(kept, Event.READY)

    async def _until_ended(self, kept: Kept) -> str | None:
        """Watch a running part until it ends or we stop; return what it died of, None if well."""
        child, began, missed = _running(kept), time.monotonic(), 0
        end = self._ended[child.pid]
        while not await self._pause_or_end(
            end, PROBE_STARTING_S if kept.state is State.STARTING else PROBE_UP_S
        ):
            if kept.part.probe is not None and not self._stopping.is_set():
                answers = await kept.part.probe.answers(child.pid)
                missed = 0 if answers else missed + 1
            if self._stopping.is_set():  # also while we asked: it may be forgotten already
                return None
            ran_s = time.monotonic() - began
            if ran_s > STEADY_S and not missed:
                kept.faults_in_a_row = 0
            if kept.part.probe is not None:
                self._judge(kept, child, missed)
            if missed >= HUNG_UNANSWERED and kept.state is State.SILENT:
                if await self._hangs(kept, child, end):
                    child.stop(0)
                    return f"hung: it left {missed + 1} questions in a row unanswered"
                missed = UNANSWERED_MAX
            if kept.state is State.STARTING and ran_s > kept.part.start_limit_s:
                child.stop(0)
                return f"was not ready after {kept.part.start_limit_s:g} s"
        return self._cause(kept, child)

    async def _hangs(self, kept: Kept, child: Child, end: asyncio.Future[None]) -> bool:
        """Ask a silent part once more, with patience; False if it may be another's fault."""
        if kept.part.probe is None or any(
            self._kept[need].state is not State.UP for need in kept.part.needs
        ):
            return False
        self.say(f"{kept.part.name} seems to hang: asked once more, {PATIENCE_S:g} s")
        asking = asyncio.ensure_future(kept.part.probe.answers(child.pid, PATIENCE_S))
        stop = asyncio.ensure_future(self._stopping.wait())
        either: list[asyncio.Future[Any]] = [asking, stop, end]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if asking.done():
            return not asking.result()
        asking.cancel()
        return False

    def _judge(self, kept: Kept, child: Child, missed: int) -> None:
        """Tell what the latest probe changes; `missed` is how many in a row failed."""
        name = kept.part.name
        if missed == 0 and kept.state in {State.STARTING, State.SILENT}:
            again = "answers again" if kept.state is State.SILENT else "is up"
            self._change(kept, Event.READY)
            self.say(f"{name} {again} {kept.part.address}".rstrip())
        elif kept.state is State.UP and missed >= UNANSWERED_MAX:
            self._change(kept, Event.UNANSWERED, f"runs, but left {missed} questions unanswered")
            self.say(f"{name} runs but does not answer; see {child.log}")

    def _cause(self, kept: Kept, child: Child) -> str | None:
        status = child.process.poll()
        if status == 0 and kept.part.once:
            return None
        if status is not None and status < 0:
            return f"ended by {signal.Signals(-status).name}"
        self._logs.look()
        last = self._logs.last_line(kept.part.name) if status else ""
        return f"ended with status {status}" + (f": {last[:300]}" if last else "")

    async def _fallen(self, kept: Kept, why: str) -> bool:
        """Note a death, clear away what it left, wait the back-off; False if we are stopping."""
        child = _running(kept)
        kept.faults_in_a_row += 1
        kept.restarts += 1
        kept.last_fault = {"at": now(), "why": why}
        pause_s = backoff_s(kept.faults_in_a_row)
        self._forget(kept, child)
        self._change(kept, Event.ENDED, f"restarts after {pause_s:g} s")
        self.say(f"{kept.part.name} {why}; restart {kept.restarts} in {pause_s:g} s")
        if not kept.part.keeps_orphans:
            await asyncio.to_thread(end_marked, self._root, kept.part.name, grace_s=0.0)
        if await self._pause(pause_s):
            return False
        self._change(kept, Event.DUE)
        return True

    # -- the end --------------------------------------------------------------------------------

    async def _stop(self) -> bool:
        """Stop all, by stages; return whether nothing had to be killed."""
        began = time.monotonic()
        orderly = True
        for stage, grace_s in enumerate(GRACE_S):
            members = [k for k in self._kept.values() if k.part.stage == stage]
            for kept in members:
                was_running = kept.state in RUNNING
                self._change(kept, Event.STOP)
                if was_running:
                    self._signal(kept)
            await self._all_ended(members, grace_s)
            for kept in members:
                if kept.state is State.STOPPING:
                    orderly = self._finish(kept) and orderly
            self._write()
        left = await asyncio.to_thread(end_marked, self._root, grace_s=0.0)
        took = time.monotonic() - began
        self.say(f"stopped in {took:.1f} s" + (f"; {left} left over were killed" if left else ""))
        return orderly and not left

    def _signal(self, kept: Kept) -> None:
        child = _running(kept)
        if kept.part.tethered and child.process.stdin:
            child.process.stdin.close()
        elif kept.part.whole:
            send(list(marked(self._root, kept.part.name)), signal.SIGTERM)
        else:
            send([child.pid], signal.SIGTERM)

    async def _all_ended(self, members: Sequence[Kept], grace_s: float) -> None:
        waiting = {self._ended[_running(k).pid] for k in members if k.state is State.STOPPING}
        hurry = asyncio.ensure_future(self._hurry.wait())
        until = time.monotonic() + grace_s
        while waiting and not hurry.done() and (left_s := until - time.monotonic()) > 0:
            first: list[asyncio.Future[Any]] = [hurry, *waiting]
            await asyncio.wait(first, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            waiting = {end for end in waiting if not end.done()}
        hurry.cancel()

    def _finish(self, kept: Kept) -> bool:
        child = _running(kept)
        in_time = child.process.poll() is not None
        if not in_time:
            self.say(f"{kept.part.name} did not stop in time: killed")
        self._forget(kept, child)
        self._change(kept, Event.ENDED)
        return in_time

    # -- small things ---------------------------------------------------------------------------

    def _asked_to_stop(self, number: signal.Signals) -> None:
        if self._stopping.is_set():
            self.say(f"{number.name} again: killing what is left")
            self._hurry.set()
        else:
            self.say(f"{number.name}: stopping all parts")
            self._stopping.set()

    def _forget(self, kept: Kept, child: Child) -> None:
        self._children.discard(child)
        self._ended.pop(child.pid, None)
        kept.child = None

    def _change(self, kept: Kept, event: Event, why: str = "") -> None:
        kept.take(event, why)
        self._write()

    def _write(self) -> None:
        write_state(self._root, self._since, self._kept.values(), self._elsewhere)

    def say(self, text: str) -> None:
        """Write one line to the keeper's own log, from where it is shown like every other."""
        self._children.logs.mkdir(parents=True, exist_ok=True)
        with (self._children.logs / f"{OWN_LOG}.log").open("a", encoding="utf-8") as log:
            log.write(f"{now()} {text}\n")

    async def _follow(self) -> None:
        while True:
            self._logs.look()
            await asyncio.sleep(LOOK_S)

    async def _pause(self, seconds: float) -> bool:
        """Wait; return True at once if we are stopping."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        return self._stopping.is_set()

    async def _pause_or_end(self, end: asyncio.Future[None], seconds: float) -> bool:
        """Wait; return True at once if the child has ended, early and False if we are stopping."""
        stop = asyncio.ensure_future(self._stopping.wait())
        either: list[asyncio.Future[Any]] = [end, stop]
        await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        return end.done()


def _end_of(child: Child) -> asyncio.Future[None]:
    """Return a future that is done when the process has ended (not yet reaped)."""
    loop = asyncio.get_running_loop()
    handle = os.pidfd_open(child.pid)
    ended: asyncio.Future[None] = loop.create_future()

    def seen() -> None:
        loop.remove_reader(handle)
        os.close(handle)
        if not ended.done():
            ended.set_result(None)

    loop.add_reader(handle, seen)
    return ended


def _running(kept: Kept) -> Child:
    if kept.child is None:
        raise Broken(f"no process of {kept.part.name} is known, it is {kept.state}")
    return kept.child
