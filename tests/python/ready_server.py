"""The process that `ready_process` copies: it imports what takes seconds, then waits for orders.

It is run as the text of ``python -c``, so that `__main__` is of no file, in the copies too. An
order is a message on the socket whose number is its first argument: what to run, and three files.
The other argument is the module to import.
"""

import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys


def orders(control):
    """Make a copy for each order, and return the order in the copy."""
    control = socket.socket(fileno=control)
    with open("/proc/self/status") as status:
        assert "Threads:\t1\n" in status.read(), "a copy would lack the other threads"
    gc.collect()
    gc.freeze()  # else the end of each copy would look at, and so copy, all of torch's objects
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the parents of the copies
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        message, files, _, _ = socket.recv_fds(control, 1 << 20, 3)
        if not message:  # the tests have ended
            os._exit(0)
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            be_parent(*files)
            # Also where the tests run in a shell's background, which ignores the signal.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            return json.loads(message)
        for file in files:
            os.close(file)


def be_parent(status, out, err):
    """Make the copy, whose files are `out` and `err`, and return in it.

    The parent writes the number of the copy, then its exit code, and ends.
    """
    pid = os.fork()
    if pid == 0:
        os.close(status)
        for file, number in ((out, 1), (err, 2)):
            os.dup2(file, number)
            os.close(file)
        return
    os.close(out)
    os.close(err)
    os.write(status, f"{pid}\n".encode())
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.write(status, f"{code}\n".encode())
    os._exit(0)


def begin(order):
    """Become the process of the order; its code, if it has any, is still to be run."""
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    first, *sys.argv = order["arguments"]
    if first == "-c":
        code, sys.argv[0] = sys.argv[0], "-c"
        return code
    if first == "-m":
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv.insert(0, first)
        sys.path[0] = os.path.dirname(first)
        runpy.run_path(first, run_name="__main__")
    return ""


importlib.import_module(sys.argv[2])
exec(begin(orders(int(sys.argv[1]))), vars(sys.modules["__main__"]))
