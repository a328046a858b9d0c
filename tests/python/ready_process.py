"""Processes of their own for tests, in which torch, or timm, is imported already.

To import them takes seconds, more than most tests do in such a process. So one process imports
them, once (`ready_server`), and the others are its copies: each is forked from it while it has a
single thread, then runs what it is given as Python's command line would, and ends as an interpreter
does. tied_augment is not imported before. With timm comes Triton, which then writes of leaks on
stderr at the end.

Where there is no Linux, and for what is about imports, subprocess does the same.
"""

import atexit
import functools
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

copies = sys.platform == "linux"


class Copy:
    """What the tests use of `subprocess.Popen`, with ``text=True``.

    Attributes:
        stdout: to read from, unless a file was given.
        returncode: None before the process is waited for.
    """

    def __init__(self, arguments, env=None, stdout=None, stderr=None, ready="torch"):
        self.returncode = self.stdout = self._errors = None
        self._status, status = socket.socketpair()
        order = {
            "arguments": [str(argument) for argument in arguments],
            "environment": dict(os.environ if env is None else env),
            "folder": os.getcwd(),
        }
        ours = []
        if stdout is None:
            reading, writing = os.pipe()
            self.stdout = os.fdopen(reading)
            ours.append(writing)
            stdout = writing
        if stderr is None:
            stderr = self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  (it is read later)
        elif stderr == subprocess.STDOUT:
            stderr = stdout
        files = [file if isinstance(file, int) else file.fileno() for file in (stdout, stderr)]
        socket.send_fds(server(ready), [json.dumps(order).encode()], [status.fileno(), *files])
        status.close()
        for file in ours:
            os.close(file)
        self._answers = self._status.makefile()
        self.pid = int(self._answers.readline())

    def wait(self, timeout=None):
        if self.returncode is None:
            self._status.settimeout(timeout)
            self.returncode = int(self._answers.readline())
            self._answers.close()
            self._status.close()
        return self.returncode

    def poll(self):
        if self.returncode is None and select.select([self._status], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def send_signal(self, number):
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self):
        self.send_signal(15)

    def kill(self):
        self.send_signal(9)

    def communicate(self, timeout=None):
        out = self.stdout.read()
        self.stdout.close()
        self.wait(timeout)
        self._errors.seek(0)
        err = self._errors.read()
        self._errors.close()
        return out, err


@functools.cache
def server(module):
    """The socket of the process that is copied, which has imported `module`."""
    control, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
    code = Path(__file__).with_name("ready_server.py").read_text()
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(theirs.fileno()), module],
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},  # one thread
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[theirs.fileno()],
    )
    theirs.close()

    @atexit.register
    def end():
        control.close()
        process.wait(10)

    return control


def start(*arguments, env=None, ready="torch"):
    """``python *arguments``, with pipes for what it writes; `ready` is imported already."""
    if copies:
        return Copy(arguments, env, ready=ready)
    command = [sys.executable, *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=env, text=True, **pipes)


def run(*arguments, env=None, ready="torch", timeout=110):
    """``python *arguments`` to its end."""
    process = start(*arguments, env=env, ready=ready)
    out, err = process.communicate(timeout=timeout)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def spawn(function, arguments, count, ready="torch"):
    """As `torch.multiprocessing.spawn`: call `function` of a test module in `count` processes."""
    code = (
        "import importlib, sys; name, function, *arguments = sys.argv[1:]; "
        f"sys.path.insert(0, {str(Path(__file__).parent)!r}); "
        "getattr(importlib.import_module(name), function)(int(arguments[0]), *arguments[1:])"
    )
    names = function.__module__, function.__name__
    processes = [start("-c", code, *names, rank, *arguments, ready=ready) for rank in range(count)]
    outputs = [process.communicate(timeout=110) for process in processes]
    assert [process.returncode for process in processes] == [0] * count, outputs
