"""The habits that leak more than containers: what is opened, started, raised or C's.

Rules of this file: data only, as in ``habits``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from leakguard._core.habits import Habit

if TYPE_CHECKING:
    from collections.abc import Mapping

RESOURCE_HABITS: Final[Mapping[str, Habit]] = {
    "unclosed-connection": Habit(
        "unclosed-connection",
        "{kind} objects are opened and never closed: use `with` (contextlib.closing) or"
        " try/finally to close them or give them back to the pool.",
        """\
- connection = pool.get()
- connection.execute(query)
+ with pool.connection() as connection:
+     connection.execute(query)""",
    ),
    "unclosed-file": Habit(
        "unclosed-connection",
        "{kind} objects are opened and never closed: open them in a `with` block, and"
        " keep their names or contents rather than the open files.",
        """\
- file = open(path)
- return file.read()
+ with open(path) as file:
+     return file.read()""",
    ),
    "client-per-call": Habit(
        "unclosed-connection",
        "Objects of {kind} are made again and again, each with a pool of connections of"
        " its own, and kept: make one for the process and share it, or close it by"
        " `with`.",
        """\
- def fetch(url):
-     return requests.Session().get(url)
+ SESSION = requests.Session()
+ def fetch(url):
+     return SESSION.get(url)""",
    ),
    "pending-task": Habit(
        "task",
        "Tasks, coroutines or greenlets are created and never finish: await or cancel"
        " them (a TaskGroup, a timeout), and drop them from {owner} when done"
        " (task.add_done_callback(tasks.discard)).",
        """\
  task = asyncio.create_task(work())
  tasks.add(task)
+ task.add_done_callback(tasks.discard)""",
    ),
    "kept-future": Habit(
        "task",
        "Futures are kept in {owner} with their results, or are never resolved: drop"
        " each when it is done, and give up on an answer after a time.",
        """\
  pending[number] = future
- return await future
+ try:
+     return await asyncio.wait_for(future, 30)
+ finally:
+     pending.pop(number, None)""",
    ),
    "cancelled-timer": Habit(
        "task",
        "Timers far in the future pile up, cancelled ones too, for they stay in the"
        " queue until their time comes: use one timer that moves, or a shorter time.",
        """\
- loop.call_later(3600, self.expire)  # on each message
+ self.expires_at = loop.time() + 3600  # looked at by one timer""",
    ),
    "thread-without-end": Habit(
        "thread",
        "Threads are started and never end: join them, stop them by an Event, or use"
        " one ThreadPoolExecutor for all calls and shut it down.",
        """\
- threading.Thread(target=work).start()
+ EXECUTOR.submit(work)  # one ThreadPoolExecutor(max_workers=8)""",
    ),
    "thread-local": Habit(
        "thread",
        "What is stored in a threading.local lives as long as its thread, which a pool"
        " keeps for ever: clear it when the work is done.",
        """\
  local.buffer.append(row)
+ try:
      ...
+ finally:
+     local.buffer.clear()""",
    ),
    "logging-handler": Habit(
        "handler",
        "A logging handler or filter is added on every call: configure logging once,"
        " at start, or call removeHandler() and close() when done.",
        """\
  log.addHandler(handler)
+ try:
      ...
+ finally:
+     log.removeHandler(handler)
+     handler.close()""",
    ),
    "logger-per-object": Habit(
        "handler",
        "logging keeps every logger it has made, by name, for ever: use one logger for"
        " each module, and put what differs into the message (a LoggerAdapter).",
        """\
- log = logging.getLogger(f"device.{{number}}")
+ log = logging.LoggerAdapter(LOG, dict(device=number))""",
    ),
    "kept-traceback": Habit(
        "traceback",
        "Exceptions are kept with their tracebacks, and those keep every frame's"
        " locals: keep str(error) or traceback.format_exc(), or clear"
        " error.__traceback__.",
        """\
- failures.append(error)
+ failures.append(str(error))""",
    ),
    "suspended-generator": Habit(
        "registry",
        "Generators are left in the middle and kept by {owner}, with all their local"
        " variables: run them to their end, or close() them.",
        """\
- {name}.append(pages)
- first = next(pages)
+ with contextlib.closing(pages):
+     first = next(pages)""",
    ),
    "lagging-tee": Habit(
        "other",
        "itertools.tee keeps all that one of its iterators has given and another has"
        " not yet: advance both together, or make a list where one is consumed first.",
        """\
- live, audit = itertools.tee(readings)
+ for reading in readings:
+     live(reading)
+     audit(reading)""",
    ),
    "cycle-without-collector": Habit(
        "cycle",
        "Reference cycles pile up because {gc}: turn the collector on (gc.enable()),"
        " call gc.collect() at a quiet moment, or break the cycle (a weakref for the"
        " back reference).",
        """\
- child.parent = self
+ child.parent = weakref.proxy(self)""",
    ),
    "cycle-with-finalizer": Habit(
        "cycle",
        "Objects with a __del__ ({kind}) sit in reference cycles, where it runs only"
        " when they are collected, and {gc}: close them yourself, or use"
        " weakref.finalize; and turn the collector on (gc.enable()).",
        """\
- def __del__(self):
-     self.close()
+ with contextlib.closing(Stream()) as stream:
+     ...""",
    ),
    "saved-garbage": Habit(
        "cycle",
        "gc.garbage keeps what was collected, for gc.DEBUG_SAVEALL is set or it cannot"
        " be freed: set gc.set_debug(0), or mend the type that refuses, and clear it.",
        """\
- gc.set_debug(gc.DEBUG_SAVEALL)
+ gc.set_debug(0)""",
    ),
    "native-call": Habit(
        "native",
        "{kind} takes memory from the C heap that is not given back: call what frees it"
        " (free(), close(), a context manager) in a finally block, or make one object"
        " and use it again.",
        """\
  address = library.make(data)
+ try:
      ...
+ finally:
+     library.release(address)""",
    ),
    "native": Habit(
        "native",
        "Memory is allocated outside Python and not given back: look for a C extension"
        " object without close()/free(), or a ctypes allocation.",
        """\
- parser = lxml.etree.XMLParser()  # for each document
+ PARSER = lxml.etree.XMLParser()""",
    ),
}
