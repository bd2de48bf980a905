"""What each habit of leaking is called, what mends it, and the mending as code.

Rules of this file: data only. A hint is one or two sentences that say what to change:
``{owner}`` is the holder's path, ``{name}`` the last name on it, ``{kind}`` the type
that piles up, ``{gc}`` why nothing is collected. An example is a small difference of
code, ``-`` before and ``+`` after, in which ``{name}`` stands for the holder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from leakguard._core.records import Pattern


class Habit(NamedTuple):
    """A habit's pattern and hint, and its example: before and after."""

    pattern: Pattern
    hint: str
    example: str


#: The habits of containers, and of what registers itself in them.
HOLDER_HABITS: Final[Mapping[str, Habit]] = {
    "lru-cache-without-bound": Habit(
        "unbounded-cache",
        "lru_cache(maxsize=None) (or functools.cache) never evicts: give it a maxsize,"
        " so that what nobody asks for any more goes.",
        """\
- @functools.cache
+ @functools.lru_cache(maxsize=1_000)
  def {name}(key): ...""",
    ),
    "lru-cache-on-method": Habit(
        "unbounded-cache",
        "An lru_cache without maxsize on a method keeps every self alive, for self is"
        " part of the key: cache on the instance (cached_property), or a module"
        " function of the values, with a maxsize.",
        """\
- @functools.lru_cache(maxsize=None)
- def {name}(self): ...
+ @functools.cached_property
+ def {name}(self): ...""",
    ),
    "dict-as-cache": Habit(
        "unbounded-cache",
        "{owner} gets new keys all the time and never drops one: bound it"
        " (functools.lru_cache(maxsize=…), cachetools.LRUCache or TTLCache) or delete"
        " the entry when its work is done.",
        """\
- {name} = dict()
+ {name} = cachetools.LRUCache(maxsize=1_000)""",
    ),
    "cache-without-eviction": Habit(
        "unbounded-cache",
        "{owner} keeps an order of use, but nothing evicts by it: drop the oldest"
        " entry when there are too many (popitem(last=False)).",
        """\
  {name}[key] = value
+ while len({name}) > 1_000:
+     {name}.popitem(last=False)""",
    ),
    "defaultdict-read": Habit(
        "unbounded-cache",
        "The defaultdict {owner} makes an entry for each new key, even one that is only"
        " read: read by get(), and delete the entry when its work is done.",
        """\
- bucket = {name}[key]
+ bucket = {name}.get(key, EMPTY)""",
    ),
    "seen-set": Habit(
        "unbounded-cache",
        "{owner} remembers everything it has ever seen: remember the newest only (a"
        " bounded dict or deque), what came within a time, or ask the database.",
        """\
- {name}.add(key)
+ {name}[key] = None  # an OrderedDict
+ if len({name}) > 100_000:
+     {name}.popitem(last=False)""",
    ),
    "label-set": Habit(
        "unbounded-cache",
        "{owner} keeps a child for each set of labels, and the labels take ever new"
        " values: label by what is finite (route, status), never by ids or paths.",
        """\
- REQUESTS.labels(path=request.path).inc()
+ REQUESTS.labels(route=request.route_name).inc()""",
    ),
    "kept-session": Habit(
        "unbounded-cache",
        "A session keeps what is added to it, and what was changed in it, until it"
        " commits, rolls back or is closed ({owner}): open one for each unit of work.",
        """\
- SESSION.add(order)
+ with Session(engine) as session, session.begin():
+     session.add(order)""",
    ),
    "listener": Habit(
        "listener",
        "Listeners are registered again and again and never removed from {owner}:"
        " register once, use once(), or remove the listener in a finally block.",
        """\
  bus.on("order", self.update)
+ try:
      ...
+ finally:
+     bus.off("order", self.update)""",
    ),
    "bound-method-listener": Habit(
        "listener",
        "Bound methods are registered in {owner} and never removed, and each keeps"
        " its object alive: remove it when the object goes, or hold it weakly"
        " (weakref.WeakMethod).",
        """\
- {name}.append(self.update)
+ {name}.append(weakref.WeakMethod(self.update))""",
    ),
    "exit-stack": Habit(
        "listener",
        "{owner} collects what to do at an exit that never comes: open an ExitStack"
        " for each piece of work, not one for the process.",
        """\
- APP.stack.enter_context(resource)
+ with contextlib.ExitStack() as stack:
+     stack.enter_context(resource)""",
    ),
    "at-exit": Habit(
        "listener",
        "Something is registered with atexit on every call and kept until the process"
        " ends: register once, unregister() when done, or use `with`.",
        """\
- atexit.register(shutil.rmtree, directory)
+ with tempfile.TemporaryDirectory() as directory:
+     ...""",
    ),
    "finalizer": Habit(
        "registry",
        "weakref.finalize keeps its function and arguments until the object dies; an"
        " argument that leads back to the object keeps it from dying: pass what the"
        " function needs, and never self or its bound method.",
        """\
- weakref.finalize(self, self.close)
+ weakref.finalize(self, os.close, self.descriptor)""",
    ),
    "registry": Habit(
        "registry",
        "{owner} is only ever added to: remove entries when their work is done, or hold"
        " them weakly (weakref.WeakSet, WeakValueDictionary).",
        """\
- {name} = dict()
+ {name} = weakref.WeakValueDictionary()""",
    ),
    "append-only": Habit(
        "registry",
        "{owner} is only ever added to: remove entries when their work is done, or use"
        " collections.deque(maxlen=…) if only the newest matter.",
        """\
- {name} = []
+ {name} = collections.deque(maxlen=1_000)""",
    ),
    "deque-without-maxlen": Habit(
        "registry",
        "The deque {owner} has no maxlen, and nothing takes from it: give it one, so"
        " that the oldest entry goes when a new one comes.",
        """\
- {name} = collections.deque()
+ {name} = collections.deque(maxlen=1_000)""",
    ),
    "queue-without-consumer": Habit(
        "registry",
        "More is put into the queue {owner} than is taken out: start (or restart) its"
        " consumer, and give it a maxsize, so that producers wait or drop.",
        """\
- outbox = queue.Queue()
+ outbox = queue.Queue(maxsize=1_000)""",
    ),
    "class-attribute": Habit(
        "registry",
        "{owner} belongs to the class, so all instances add to the same container, and"
        " it lives as long as the program: make one for each instance in __init__, or"
        " bound it.",
        """\
- {name} = []
+ def __init__(self):
+     self.{name} = []""",
    ),
    "mutable-default": Habit(
        "registry",
        "The default value of an argument is made once and shared by all calls, and"
        " {owner} grows with each: use None, and make a new one inside.",
        """\
- def add(item, found=[]):
+ def add(item, found=None):
+     found = [] if found is None else found""",
    ),
    "growing-chain": Habit(
        "other",
        "Each new {kind} refers to the one before, so {owner} keeps them all: cut the"
        " chain at a length, or keep the last few in a collections.deque(maxlen=…).",
        """\
- {name} = Node(previous={name})
+ {name}.append(Node())  # a deque(maxlen=100)""",
    ),
    "growing-buffer": Habit(
        "other",
        "One block of memory is only ever extended here: write it out and clear it, or"
        " keep the newest part only.",
        """\
  buffer += chunk
+ if len(buffer) > 65_536:
+     file.write(buffer)
+     buffer.clear()""",
    ),
    "dead-weakrefs": Habit(
        "registry",
        "{owner} keeps weak references whose objects have died: use a WeakSet, or"
        " remove the reference in its callback.",
        """\
- {name}.append(weakref.ref(child))
+ {name}.add(child)  # a weakref.WeakSet""",
    ),
    "class-per-call": Habit(
        "class",
        "A class is made on every call and something keeps it: create it once at"
        " import, or cache it by its parameters with a bound.",
        """\
- def handle(fields):
-     Form = type("Form", (Base,), fields)
+ @functools.lru_cache(maxsize=100)
+ def form_type(fields): ...""",
    ),
    "module-per-call": Habit(
        "registry",
        "A module is made on every call and stays in sys.modules: load a script under"
        " one name, once, or take it out again when it has run.",
        """\
  sys.modules[name] = module
+ try:
      loader.exec_module(module)
+ finally:
+     del sys.modules[name]""",
    ),
    "mock-calls": Habit(
        "registry",
        "A Mock records all its calls with their arguments: use a plain stand-in in"
        " code that runs for long, or reset_mock() after each piece of work.",
        """\
  do_work(mailer)
+ mailer.reset_mock()""",
    ),
    "warning-registry": Habit(
        "registry",
        "warnings remembers every distinct text it has shown: keep what differs (ids,"
        " times) out of the text, or log instead of warning.",
        """\
- warnings.warn(f"order {{number}} is late")
+ log.warning("order %s is late", number)""",
    ),
    "source-cache": Habit(
        "unbounded-cache",
        "linecache keeps the source of every file name it was given, generated ones"
        " too: call linecache.checkcache(), or use one name for generated code.",
        """\
  exec(compile(source, name, "exec"))
+ linecache.cache.pop(name, None)""",
    ),
    "pickler-memo": Habit(
        "unbounded-cache",
        "A Pickler remembers every object it has written, to refer to it: call"
        " clear_memo() after each record, or use a new Pickler.",
        """\
  pickler.dump(record)
+ pickler.clear_memo()""",
    ),
    "context-variable": Habit(
        "registry",
        "A context variable is set and never reset, so each value keeps the one"
        " before: reset it by its token in a finally block.",
        """\
  token = SPAN.set(span)
+ try:
      ...
+ finally:
+     SPAN.reset(token)""",
    ),
    "other": Habit(
        "other",
        "What is allocated here is still alive after the work is done: find what keeps"
        " it ({owner}) and let it go.",
        "",
    ),
}
