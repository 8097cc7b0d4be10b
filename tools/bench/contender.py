"""A contender of a benchmark: a process that does a turn of its work for each line that it is sent; its memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

# Settings of the C library that keep freed memory: the fair bar for PyTorch.
KEEP_MEMORY = {name: str(1 << 30) for name in ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_",
                                              "MALLOC_TOP_PAD_")}


def memory_megabytes(field: str) -> float:
    """Of this process: VmRSS, what it has now, or VmHWM, the most since it began to run its program."""
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) / 1024


class Contender:
    """The script runs itself with `--worker` and these words; its answers are lines of JSON."""

    def __init__(self, script: str, words: list[str], more: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, script, "--worker", *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **more})

    def take(self, line: str) -> dict:
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"a contender ended: {self.process.args}")
        return json.loads(answer)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()
