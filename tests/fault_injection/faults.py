#!/usr/bin/env python3
"""Lets each call that reaches the disk fail, one run at a time, and looks at what is left.

Of `convert`, `grad`, `train` and `distill` each chosen call of open, write, fsync, rename, link,
mkdir, unlink and their relatives fails once, and from there on always, with ENOSPC, EIO, EACCES and
EROFS; and the process is killed at it. Afterwards what the command writes must be what was there
before or what is new, the exit code 0 or 1 with one sentence, and the same command again (with
--resume where there is one) must end with the same bits as a run that nothing happened to, leaving
nothing behind. Chosen is every call where a scenario says so; else the first and the last of each
stack of calls.
"""

import argparse
import concurrent.futures
import errno
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

from scenarios import SCENARIOS

ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS)
# A call that removes, or looks for what to remove, leaves it behind when it fails.
CLEANING = ("unlink", "unlinkat", "rmdir", "remove", "open", "open64", "openat", "openat64")
SECONDS = 120  # after which a run hangs


def contents(path):
    """What is at a path, to be compared: nothing, a file's sum, or those of a folder's entries."""
    if path.is_symlink():
        return f"link to {os.readlink(path)}"
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    if path.is_dir():
        return {entry.name: contents(entry) for entry in sorted(path.iterdir())}
    return None


def leftovers(folder):
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob(".*")
        if ".writing-" in path.name or ".old-" in path.name
    )


def steps_of(folder):
    """The steps that each metrics file of a folder tells of, without what depends on the clock."""
    steps = {}
    for path in folder.rglob("metrics.jsonl"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        keys = ("step", "loss", "valid_loss", "grad_norm")
        steps[path.name] = [[row.get(key) for key in keys] for row in rows]
    return steps


class Call:
    def __init__(self, line):
        number, self.name, self.site, self.path = line.rstrip("\n").split(" ", 3)
        self.number = int(number)


class Workplace:
    """A folder of its own in which a scenario runs again and again."""

    def __init__(self, scenario, options, root):
        self.scenario, self.options = scenario, options
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=root))
        self.work = self.folder / "work"
        self.log, self.stderr = (
            self.folder.with_suffix(suffix) for suffix in (".log", ".stderr")
        )
        (self.folder / "in").mkdir()
        (self.folder / "old").mkdir()
        scenario.prepare(self.folder, options)

    def reset(self):
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self.folder / "old", self.work, symlinks=True)

    def run(self, again=False, **fault):
        environment = dict(
            os.environ,
            GOMP_SPINCOUNT="4000",
            OMP_NUM_THREADS="1",
            LD_PRELOAD=self.options.shim,
            MW_FAULT_ROOT=str(self.folder),
            **self.scenario.environment,
            **{f"MW_FAULT_{key.upper()}": str(value) for key, value in fault.items()},
        )
        words = [self.options.cli, *self.scenario.words]
        if again:
            words += self.scenario.again
        with open(self.stderr, "wb") as err:
            try:
                code = subprocess.run(
                    words,
                    cwd=self.work,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=err,
                    timeout=SECONDS,
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                code = "hangs"
        return code, self.stderr.read_text(errors="replace")

    def targets(self):
        return [contents(self.work / name) for name in self.scenario.targets]

    def observe(self):
        """A run that nothing happens to: its calls, what was there before, and what it leaves."""
        self.reset()
        self.before = self.targets()
        code, text = self.run(log=self.log)
        if code != 0:
            sys.exit(f"{self.scenario.name}: without a fault it ends with {code}: {text}")
        self.after, self.steps = self.targets(), steps_of(self.work)
        if self.before == self.after or leftovers(self.work):
            sys.exit(f"{self.scenario.name}: nothing is new, or something is left behind")
        if not self.log.is_file():
            sys.exit(f"{self.scenario.name}: no call was seen; is {self.options.shim} preloaded?")
        return [Call(line) for line in self.log.read_text().splitlines()]

    def check(self, call, mode, error):
        """One run with a fault, and the same command again; what is wrong about them."""
        self.reset()
        code, text = self.run(at=call.number, mode=mode, errno=error)
        wrong = self.wrong_ends(code, text, mode)
        for name, now, old, new in zip(
            self.scenario.targets, self.targets(), self.before, self.after
        ):
            missing_aside = self.scenario.may_be_aside and mode != "once" and now is None
            if now not in (old, new) and not missing_aside:
                wrong.append(f"{name} is neither old nor new")
            if code == 0 and now != new:
                wrong.append(f"{name} is not new, and the exit code 0")
        if mode == "once" and call.name not in CLEANING and leftovers(self.work):
            wrong.append(f"left behind: {leftovers(self.work)}")
        code, text = self.run(again=True)
        if code != 0 or self.targets() != self.after or steps_of(self.work) != self.steps:
            wrong.append(f"again: ends with {code}, other bits or other steps: {text.strip()}")
        if leftovers(self.work):
            wrong.append(f"left behind at last: {leftovers(self.work)}")
        what = f"{self.scenario.name}: {call.name} {call.path} (call {call.number})"
        return [f"{what}, {mode}, {errno.errorcode[error]}: {fault}" for fault in wrong]

    @staticmethod
    def wrong_ends(code, text, mode):
        if mode == "kill":
            return [] if code == -signal.SIGKILL else [f"was not killed: {code}"]
        if code == 0:
            return []
        if code != 1:
            return [f"ends with {code}: {text.strip()}"]
        sentences = [line for line in text.splitlines() if line.startswith("millwright: ")]
        if len(sentences) != 1 or text.splitlines()[-1] != sentences[0]:
            return [f"does not end with one sentence: {text.strip()}"]
        return [f"says: {text.strip()}"] if "internal error" in text else []


def chosen(calls, every):
    if every:
        return calls
    first, last = {}, {}
    for call in calls:
        key = (call.name, call.site)
        first.setdefault(key, call.number)
        last[key] = call.number
    numbers = set(first.values()) | set(last.values())
    return [call for call in calls if call.number in numbers]


def faults_of(calls, smoke):
    kinds = [("kill", errno.EIO)]
    kinds += [(mode, error) for error in ERRORS for mode in ("once", "forever")]
    if smoke:
        kinds = [("kill", errno.EIO), ("once", errno.ENOSPC), ("forever", errno.EIO)]
        return [(call, *kinds[i % len(kinds)]) for i, call in enumerate(calls[::3])]
    return [(call, *kind) for call in calls for kind in kinds]


def run_scenario(scenario, options, root):
    workplaces = [Workplace(scenario, options, root) for _ in range(options.jobs)]
    all_calls = [workplace.observe() for workplace in workplaces]
    names = [[(call.name, call.site) for call in calls] for calls in all_calls]
    if any(other != names[0] for other in names):
        sys.exit(f"{scenario.name}: two runs make other calls")
    calls = chosen(all_calls[0], scenario.every and not options.smoke)
    faults = faults_of(calls, options.smoke)

    def part(index):
        return [
            fault
            for call, mode, error in faults[index :: options.jobs]
            for fault in workplaces[index].check(call, mode, error)
        ]

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        wrong = [fault for part_of in pool.map(part, range(options.jobs)) for fault in part_of]
    sites = len({(call.name, call.site) for call in all_calls[0]})
    print(
        f"{scenario.name}: {len(all_calls[0])} calls from {sites} places, {len(faults)} faults:"
        f" {'ok' if not wrong else f'{len(wrong)} WRONG'}",
        flush=True,
    )
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--cli", required=True, help="the millwright command")
    parser.add_argument("--shim", required=True, help="the library to preload")
    parser.add_argument("--source", required=True, help="the root of the source tree")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--smoke", action="store_true", help="few faults, a taste of all")
    parser.add_argument("scenario", nargs="*", help="only these")
    options = parser.parse_args()
    options.source = pathlib.Path(options.source)
    memory = pathlib.Path("/dev/shm")  # every write is synced
    root = tempfile.mkdtemp(prefix="mw-faults-", dir=memory if os.access(memory, os.W_OK) else None)
    wrong = []
    try:
        for scenario in SCENARIOS:
            if options.scenario and scenario.name not in options.scenario:
                continue
            if not options.scenario and options.smoke and not scenario.smoke:
                continue
            wrong += run_scenario(scenario, options, root)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    for fault in wrong[:60]:
        print(fault)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
