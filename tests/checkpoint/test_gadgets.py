"""Owns the corpus of gadgets: names through which pickles are known to run code, in every spelling and every format.

May import rushlight and the helpers of ``test_checkpoint_hostile``; the whole corpus runs in one watched process.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

# What scanners of pickles look for, and what has got past them.
GADGETS = """
os.system os.popen os.execv os.spawnl os.posix_spawn posix.system nt.system subprocess.Popen subprocess.run
subprocess.check_output subprocess.getoutput pty.spawn commands.getoutput popen2.popen3 builtins.eval builtins.exec
builtins.compile builtins.open builtins.__import__ builtins.getattr builtins.setattr builtins.apply
builtins.breakpoint builtins.input builtins.map builtins.globals __builtin__.eval __builtin__.execfile
__builtin__.getattr __builtin__.apply importlib.import_module importlib.__import__ importlib.reload
importlib.machinery.SourceFileLoader imp.load_source pkgutil.resolve_name pydoc.locate pydoc.pipepager
zipimport.zipimporter runpy.run_path runpy._run_code operator.attrgetter operator.methodcaller operator.itemgetter
_operator.attrgetter functools.partial functools.reduce itertools.starmap types.CodeType types.FunctionType
types.MethodType marshal.loads pickle.loads pickle._loads _pickle.loads cPickle.loads dill.loads cloudpickle.loads
joblib.load shelve.open code.InteractiveInterpreter codeop.compile_command timeit.timeit timeit.main cProfile.run
profile.run trace.Trace pdb.run bdb.Bdb doctest.debug_script unittest.mock._importer webbrowser.open
socket.create_connection urllib.request.urlopen http.client.HTTPConnection requests.get ftplib.FTP smtplib.SMTP
telnetlib.Telnet asyncio.create_subprocess_shell multiprocessing.Process multiprocessing.util.spawnv_passfds
threading.Thread concurrent.futures.ProcessPoolExecutor shutil.rmtree shutil.move tempfile.mktemp
pathlib.Path.write_text io.FileIO io.open codecs.open logging.FileHandler logging.config.listen ctypes.CDLL
_ctypes.dlopen cffi.FFI sys.setprofile sys.settrace sys.modules gc.get_objects site.execsitecustomize venv.create
ensurepip._run_pip pip.main pip._internal.cli.main.main setuptools.setup distutils.spawn.spawn
lib2to3.pgen2.grammar.Grammar.loads idlelib.run.Executive.runcode idlelib.pyshell.ModifiedInterpreter.runcommand
numpy.load numpy.testing._private.utils.runstring numpy.f2py.crackfortran.getlincoef numpy.core.multiarray.fromfile
torch.load torch.hub.load torch.jit.load torch.utils.cpp_extension.load torch.utils.cpp_extension.load_inline
torch.utils.data.datapipes.utils.decoder.basichandlers torch.utils.bottleneck.__main__.run_cprofile
torch.utils.collect_env.run torch.fx.experimental.symbolic_shapes.ShapeEnv.evaluate_guards_expression
torch._dynamo.guards.GuardBuilder.get torch._inductor.codecache.compile_file torch.serialization.load
torch.storage._load_from_bytes torch.distributed.rpc.internal._InternalRPCPickler torch.nn.Module.__setattr__
torch.nn.modules.module.Module.__setstate__ torch.package.PackageImporter torch.classes.load_library
torch.ops.load_library tensorflow.io.write_file keras.models.load_model transformers.AutoModel.from_pretrained
sklearn.externals.joblib.load copyreg._reconstructor copy_reg._reconstructor copyreg.__newobj__ copyreg.add_extension
weakref.finalize atexit.register signal.signal sqlite3.connect xml.dom.pulldom.parse ast.literal_eval
inspect.getattr_static contextlib.ExitStack rushlight.load rushlight.hub.load rushlight.alias.install
rushlight.checkpoint.add_safe_globals rushlight.cli.main.main
""".split()  # noqa: SIM905

SCRIPT = """
    import sys
    sys.path.insert(0, {tests!r})
    sys.path.insert(0, {root!r})
    import builtins, copyreg, io, os, pickle, resource, struct, time, warnings
    warnings.simplefilter("ignore")
    import rushlight.nn, rushlight.optim.lr_scheduler, rushlight.utils.data
    from checkpoint.test_checkpoint_hostile import archive, reference, text
    from checkpoint.test_gadgets import GADGETS
    from rushlight.checkpoint import load
    from rushlight.checkpoint.legacy import MAGIC, VERSION

    def peak():
        if not os.path.exists("/proc/self/status"):
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        with open("/proc/self/status") as file:  # the other one begins with what the parent had when it forked
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) // 1024

    ALLOWED = (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, TypeError)
    seen, watching = [], False

    def watch(event, args):
        if watching and event.startswith(({events})):
            if event == "import" and args[0].split(".")[0] in ("rushlight", "jax", "numpy", "encodings"):
                return
            seen.append((event, args))

    sys.addaudithook(watch)

    def spellings(module, name):
        yield "global", b"\\x80\\x02" + reference(module, name)
        yield "stack_global", b"\\x80\\x04" + text(module) + text(name) + b"\\x93"
        # The names come out of the memo, and are not where a scanner of strings would look.
        yield "memo", b"\\x80\\x04" + text(name) + b"\\x94" + text(module) + b"\\x940" + b"0h\\x01h\\x00\\x93"
        first, *rest = module.split(".")
        yield "dotted", b"\\x80\\x04" + text(first) + text(".".join([*rest, name])) + b"\\x93"

    def calls(start, argument):
        yield "reduce", start + argument + b"\\x85R."
        yield "new", start + argument + b"\\x85\\x81."
        yield "new_with_keywords", start + argument + b"\\x85}}\\x92."
        yield "build", start + b")\\x81}}" + text("x") + argument + b"sb."
        yield "items", start + b")R(" + argument + b"e."
        yield "nested", start + start[2:] + argument + b"\\x85R\\x85R."

    def legacy(body):
        head = b"".join(pickle.dumps(v, 2) for v in (MAGIC, VERSION, {{"little_endian": True}}))
        return io.BytesIO(head + body + pickle.dumps([], 2))

    count = 0
    load(archive(b"\\x80\\x02N."))
    for gadget in GADGETS:
        module, _, name = gadget.rpartition(".")
        for how, start in spellings(module, name):
            for kind, body in calls(start, text("x")):
                for file in (archive(body), legacy(body)):
                    for weights_only in (True, False):
                        file.seek(0)
                        began, watching = time.process_time(), True
                        try:
                            found = load(file, weights_only=weights_only)
                        except ALLOWED as error:
                            assert str(error)
                        else:
                            assert not weights_only, (gadget, how, kind, found)
                            assert type(found).__module__.startswith("rushlight"), (gadget, how, kind, found)
                        finally:
                            watching = False
                        assert time.process_time() - began < 2, (gadget, how, kind)
                        assert not seen, (gadget, how, kind, seen)
                        count += 1
    copyreg.add_extension("os", "system", 7)
    copyreg.add_extension("os", "popen", 70_000)
    extensions = (b"\\x82\\x07", b"\\x83\\x07\\x00", b"\\x84\\x07\\x00\\x00\\x00", b"\\x84" + struct.pack("<i", 70_000))
    for body in extensions:
        for weights_only in (True, False):
            try:
                load(archive(b"\\x80\\x02" + body + text("x") + b"\\x85R."), weights_only=weights_only)
                raise AssertionError(body)
            except pickle.UnpicklingError as error:
                assert "without extensions" in str(error)
    # A STACK_GLOBAL whose names are no text, or objects that claim to be.
    for names in (b"K\\x01K\\x02", text("os") + b"]", b"N" + text("system"), reference("builtins", "str") * 2):
        for weights_only in (True, False):
            try:
                load(archive(b"\\x80\\x04" + names + b"\\x93."), weights_only=weights_only)
                raise AssertionError(names)
            except pickle.UnpicklingError as error:
                assert "STACK_GLOBAL requires str" in str(error) or names[:1] == b"c"
    print("fine", count, peak())
"""
EVENTS = (
    "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.spawn", "subprocess.", "exec", "compile", "socket.",
    "open", "ctypes.", "import", "os.remove", "os.rename", "os.mkdir", "shutil.", "pty.", "marshal.", "pickle.",
    "webbrowser.", "code.__new__", "function.__new__", "builtins.input", "builtins.breakpoint", "sys.set",
    "tempfile.", "sqlite3.", "urllib.",
)  # fmt: skip


def test_no_gadget_runs():
    tests = Path(__file__).parents[1]
    script = textwrap.dedent(SCRIPT).format(
        tests=str(tests), root=str(tests.parent), events=", ".join(map(repr, EVENTS))
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert done.stdout.startswith("fine"), done.stderr[-3000:]
    _, count, megabytes = done.stdout.split()
    assert int(count) == len(GADGETS) * 4 * 6 * 2 * 2 and int(megabytes) < 700
