"""The list of images, and the one worker that takes them in order."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Self

from pseudohealthy.errors import PseudohealthyError
from pseudohealthy.serve.jobs import FINISHED, Job
from pseudohealthy.serve.limits import Limits
from pseudohealthy.serve.worker_process import WorkerProcess

AGAIN_SECONDS = 1.0  # until a worker that could not be started is started again


class QueueFullError(Exception):
    """No more images are taken at present; the message says why and what to do."""


class JobQueue:
    """Images by their id, in the order in which they came; as a context, with its worker."""

    def __init__(self, folder: Path, weights: Path, limits: Limits) -> None:
        self.jobs: dict[str, Job] = {}
        self.limits = limits
        self.worker: WorkerProcess | None = None
        self._folder, self._weights = folder, weights
        self._temporary = folder / "temporary"
        self._more = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        if self.worker:
            await self.worker.kill()

    def add(self, name: str, *, blend: bool = False, uncertainty: bool = False) -> Job:
        """A job whose image is about to be uploaded.

        Raises:
            QueueFullError: there are too many.
        """
        if sum(job.state == "uploading" for job in self.jobs.values()) >= self.limits.uploads:
            raise QueueFullError(
                f"{self.limits.uploads} images are being uploaded already; try again in a moment"
            )
        if len(self.jobs) >= self.limits.jobs:
            raise QueueFullError(f"{len(self.jobs)} images are in the list, the most it takes; remove some")
        job = Job.of(name, self._folder, blend=blend, uncertainty=uncertainty)
        self.jobs[job.id] = job
        return job

    def enqueue(self, job: Job) -> None:
        """Its image is there; it is next when those before it are done."""
        job.state = "waiting"
        self._more.set()

    async def cancel(self, job: Job) -> None:
        """Stop the work on it at once; what is finished stays."""
        if job.state in FINISHED:
            return
        working = job.state == "working"
        job.finish("cancelled")
        if working and self.worker:
            await self.worker.kill()  # which `_run` notices, and starts another
        await _removed(job.folder)

    async def remove(self, job: Job) -> None:
        """Take it from the list, with its files."""
        await self.cancel(job)
        self.jobs.pop(job.id, None)
        async with job.archiving:
            await _removed(job.folder)

    def seconds_left(self, job: Job) -> float | None:
        """Until it is done, with all before it; None where that is not known."""
        if job.state == "working":
            return job.seconds_left()
        done = [each.seconds for each in self.jobs.values() if each.state == "done"]
        if job.state != "waiting" or not done:
            return None
        usual = sum(done) / len(done)
        working = [each for each in self.jobs.values() if each.state == "working"]
        left = sum(each.seconds_left() or usual for each in working)
        return left + usual * (1 + self.place(job))

    def place(self, job: Job) -> int:
        """How many wait before it."""
        return [each for each in self.jobs.values() if each.state == "waiting"].index(job)

    async def _run(self) -> None:
        while True:
            try:
                worker = await self._started()
            except OSError as error:
                if job := self._next():
                    why = f"the process that does the work cannot be started ({error.strerror or error})"
                    todo = "close other programs, or make room on the disk, and try again"
                    await self._fail(job, f"{why}; {todo}")
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            if job := self._next():
                await self._process(job, worker)
            else:
                self._more.clear()
                await self._more.wait()

    def _next(self) -> Job | None:
        return next((job for job in self.jobs.values() if job.state == "waiting"), None)

    async def _started(self) -> WorkerProcess:
        """The worker; a new one where it has ended. Where the system refuses one, an `OSError`."""
        if self.worker is None or self.worker.ended:
            await _removed(self._temporary)  # what the one before it has left
            self._temporary.mkdir(mode=0o700, exist_ok=True)
            self.worker = await WorkerProcess.start(self._folder, self._weights, self._temporary)
        return self.worker

    async def _process(self, job: Job, worker: WorkerProcess) -> None:
        job.begin()
        request = {
            "image": str(job.image),
            "out": str(job.out),
            "blend": job.blend,
            "uncertainty": job.uncertainty,
        }
        try:
            async for reply in worker.replies(request):
                if job.state != "working":
                    break
                if "done" in reply:
                    job.finish("done", share=1.0, now="", result=reply["done"])
                elif "error" in reply:
                    await self._fail(job, reply["error"])
                else:
                    job.share, job.now = reply["share"], reply["now"]
        except PseudohealthyError as error:
            if job.state == "working":
                await self._fail(job, str(error))
        if job.state == "cancelled":
            await worker.kill()
            await _removed(job.folder)

    async def _fail(self, job: Job, error: str) -> None:
        """Its files go before anybody is told."""
        await _removed(job.folder)
        if job.state not in FINISHED:  # cancelled meanwhile
            job.finish("failed", error=error)


async def _removed(folder: Path) -> None:
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
