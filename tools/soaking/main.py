"""tools/soak (which see): gives seeds to worker processes, one for each core, and keeps account."""

import argparse
import hashlib
import json
import os
import queue
import select
import subprocess
import sys
import threading
import time

CHUNK = 25  # seeds that a worker process runs
SILENCE_SECONDS = 300  # longer than any seed takes, under a sanitizer too


def parse(argv):
    parser = argparse.ArgumentParser(prog="tools/soak", allow_abbrev=False)
    parser.add_argument("--seeds", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--without", default="")
    parser.add_argument("--state")
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--config")
    parser.add_argument("--worker", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--default-state", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.seeds < 1 or options.seed < 0 or options.jobs < 1:
        parser.error("--seeds and --jobs are at least 1, --seed is not negative")
    return options


class State:
    """What is done, in a file, so that a run goes on where it was. Another worker binary is another run."""

    def __init__(self, path, worker, fresh):
        self.path = path
        with open(worker, "rb") as file:
            self.code = hashlib.sha256(file.read()).hexdigest()
        self.done = set()  # first seeds of whole chunks
        if not fresh and path and os.path.exists(path):
            try:
                with open(path, encoding="utf-8") as file:
                    saved = json.load(file)
                if saved.get("code") == self.code:
                    self.done = set(saved["done"])
            except (ValueError, KeyError, OSError) as error:
                print("soak: %s cannot be read (%s): from the beginning" % (path, error), file=sys.stderr)

    def save(self):
        if not self.path:
            return
        temporary = self.path + ".new"
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump({"code": self.code, "done": sorted(self.done)}, file)
        os.replace(temporary, self.path)


class Soak:
    def __init__(self, options):
        self.options = options
        self.lock = threading.Lock()
        self.packets = 0
        self.seeds_done = 0
        self.failures = []  # (seed, report)
        self.stop = threading.Event()
        single = options.seeds == 1
        self.state = State(None if single else options.state or options.default_state, options.worker, options.fresh)
        self.chunks = queue.Queue()
        end = options.seed + options.seeds
        for first in range(options.seed, end, CHUNK):
            count = min(CHUNK, end - first)
            if count == CHUNK and first in self.state.done:
                self.seeds_done += count
            else:
                self.chunks.put((first, count))
        self.resumed = self.seeds_done

    def worker_loop(self):
        while not self.stop.is_set():
            try:
                first, count = self.chunks.get_nowait()
            except queue.Empty:
                return
            before = len(self.failures)
            while count > 0 and not self.stop.is_set():
                first, count = self.run_chunk(first, count)
            if count == 0 and not self.stop.is_set() and len(self.failures) == before:
                with self.lock:
                    self.state.done.add(first - CHUNK)
                    self.state.save()

    def run_chunk(self, first, count):
        """Runs seeds until the worker ends. Returns what is left: it dies at a seed that crashes."""
        command = [self.options.worker, "--seed=%d" % first, "--seeds=%d" % count]
        if self.options.without:
            command.append("--without=" + self.options.without)
        else:
            command.append("--minimise")
        if self.options.seeds == 1:
            command.append("--describe")
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        current, report, output = None, [], b""
        hung = False
        while True:
            ready, _, _ = select.select([process.stdout], [], [], 1)
            if self.stop.is_set():
                process.kill()
                process.wait()
                return first, count
            silent = 0 if ready else (silent + 1 if "silent" in locals() else 1)
            if silent > SILENCE_SECONDS:
                hung = True
                process.kill()
            if not ready:
                continue
            block = os.read(process.stdout.fileno(), 65536)
            output += block
            *lines, output = output.split(b"\n") if block else (output, b"")
            for line in lines:
                text = line.decode("utf-8", "replace")
                if text.startswith("begin "):
                    self.finish(current, report)
                    current, report = int(text.split()[1]), []
                elif text:
                    report.append(text)
            if not block:
                break
        code = process.wait()
        if code in (0, 1) and not hung:
            self.finish(current, report)
            return first + count, 0
        if current is None:
            raise SystemExit("soak: the worker does not start (%s): %s" % (code, "\n".join(report)))
        why = "hung" if hung else "ended with %s" % code
        report.append("%s\nreplay: tools/soak --seeds 1 --seed %d" % (why, current))
        self.finish(current, ["failed %d" % current] + report)
        return current + 1, first + count - current - 1

    def finish(self, seed, report):
        if seed is None:
            return
        with self.lock:
            self.seeds_done += 1
            last = report[-1] if report else ""
            if last.startswith("ok "):
                self.packets += int(last.rsplit("packets=", 1)[1])
                if self.options.seeds == 1:
                    print("\n".join(report))
                return
            self.failures.append((seed, report))
            print("\n".join(report), flush=True)

    def run(self):
        begin = time.monotonic()
        if self.resumed:
            print("soak: %d seeds were done before" % self.resumed, file=sys.stderr)
        threads = [threading.Thread(target=self.worker_loop, daemon=True) for _ in range(self.options.jobs)]
        for thread in threads:
            thread.start()
        terminal = sys.stderr.isatty()
        shown = 0.0
        try:
            while any(thread.is_alive() for thread in threads):
                time.sleep(0.2)
                passed = time.monotonic() - begin
                if self.options.minutes is not None and passed > self.options.minutes * 60:
                    self.stop.set()
                if passed - shown >= (1 if terminal else 30):
                    shown = passed
                    self.show(passed, terminal)
        except KeyboardInterrupt:
            self.stop.set()
        for thread in threads:
            thread.join(5)
        return self.conclude(time.monotonic() - begin)

    def show(self, passed, terminal):
        done = self.seeds_done - self.resumed
        left = (self.options.seeds - self.seeds_done) * passed / done if done else 0
        line = "%d/%d seeds, %.1f M packets (%.2f M/s), %d failed, %d min left" % (
            self.seeds_done, self.options.seeds, self.packets / 1e6, self.packets / passed / 1e6,
            len(self.failures), round(left / 60))
        print(("\r\033[K" + line) if terminal else line, end="" if terminal else "\n", file=sys.stderr, flush=True)

    def conclude(self, passed):
        if sys.stderr.isatty():
            print(file=sys.stderr)
        whole = self.seeds_done >= self.options.seeds
        print("%d of %d seeds, %.1f M packets in %d s, %d failed%s" % (
            self.seeds_done, self.options.seeds, self.packets / 1e6, passed, len(self.failures),
            "" if whole else "; the same command goes on from here"))
        for seed, report in self.failures:
            print("failed: %s" % (report[-1] if report else "seed %d" % seed))
        return 1 if self.failures else 0


if __name__ == "__main__":
    sys.exit(Soak(parse(sys.argv[1:])).run())
