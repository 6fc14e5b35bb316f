"""What one worker does with calls to itself, written once for PyTorch and rushlight: each step's outcome, by name.

Imports the library by the name it is given; functions that are called remotely must be found by name, so they are here.
"""

import importlib
import pickle
import time


def scaled(x, by=2):
    return x * by


def spoil(x):
    x.zero_()
    return x


def fail(message):
    raise ValueError(message)


def fail_to_find():
    raise OSError(2, "gone")


def nap(seconds):
    time.sleep(seconds)
    return seconds


def flags(x):
    return x.requires_grad, x.is_leaf, type(x).__name__


def grad_is_on(name):
    return importlib.import_module(name).is_grad_enabled()


def same(a, b):
    return a is b


def add_later(name, x):
    rpc = importlib.import_module(f"{name}.distributed.rpc")
    return rpc.rpc_async("worker0", scaled, args=(x,)).then(lambda done: done.wait() + 1)


# The mark of rpc.functions.async_execution, which is the same in both libraries.
add_later._wrapped_async_rpc_function = add_later


def placed(module):
    return type(module).__name__, module.on, module.device


class Box:
    def __init__(self, value):
        self.value = value

    def get(self, more=0):
        return self.value + more

    def bad(self):
        raise KeyError("k")

    def me(self):
        return self


def refusal(call, *args, **kwargs):
    """The class and the first line of what a call raises."""
    try:
        call(*args, **kwargs)
    except Exception as error:
        return type(error).__name__, str(error).split("\n")[0][:40]
    return "nothing"


def options(lib, folder, name):
    return lib.distributed.rpc.TensorPipeRpcBackendOptions(init_method=f"file://{folder / name}", num_worker_threads=8)


def before(lib, folder):
    rpc, autograd = lib.distributed.rpc, lib.distributed.autograd
    return {
        "call": refusal(rpc.rpc_sync, "worker0", scaled, (1,)),
        "reference": refusal(rpc.RRef, 1)[0],
        "shutdown": refusal(rpc.shutdown),
        "worker": refusal(rpc.get_worker_info),
        "backend": refusal(rpc.init_rpc, "worker0", backend="x", rank=0, world_size=1),
        "options": refusal(rpc.init_rpc, "worker0", rank=0, world_size=1, rpc_backend_options=3),
        "name": refusal(rpc.init_rpc, "wor ker", rank=0, world_size=1, rpc_backend_options=options(lib, folder, "bad")),
        "there": autograd.is_available() and rpc.is_available(),
    }


def calls(lib):
    rpc, name = lib.distributed.rpc, lib.__name__
    x, me = lib.ones(2), rpc.get_worker_info()
    with rpc.api._wait_all():
        later = rpc.rpc_async("worker0", nap, (0.05,))
    return {
        "python": rpc.rpc_sync("worker0", scaled, args=(x,), kwargs={"by": 3}).tolist(),
        "operator": [rpc.rpc_sync(to, lib.add, args=(x, 1)).tolist() for to in ("worker0", 0, me)],
        "function": rpc.rpc_sync("worker0", lib.nn.functional.relu, args=(x,)).tolist(),
        "builtin": rpc.rpc_async("worker0", min, args=(1, 2)).wait(),
        "copied": (rpc.rpc_sync("worker0", spoil, args=(x,)).tolist(), x.tolist()),
        "one object": rpc.rpc_sync("worker0", same, args=(x, x)),
        "worker": (repr(me), me.name, me.id, me == rpc.get_worker_info("worker0")),
        "no worker": [refusal(rpc.rpc_sync, to, scaled, (1,)) for to in ("w9", 3, None)],
        "local function": refusal(rpc.rpc_sync, "worker0", lambda: 1)[0],
        "failure": refusal(rpc.rpc_sync, "worker0", fail, ("bad",)),
        "failure later": refusal(rpc.rpc_async("worker0", fail, ("bad",)).wait),
        "failure there": refusal(rpc.remote("worker0", fail, ("bad",)).to_here),
        "other failure": refusal(rpc.rpc_sync, "worker0", fail_to_find),
        "other failure there": refusal(rpc.remote("worker0", fail_to_find).local_value),
        "operator's failure": refusal(rpc.rpc_sync, "worker0", lib.add, (lib.ones(2), lib.ones(3))),
        "wrong arguments": refusal(rpc.rpc_sync, "worker0", scaled, (1, 2, 3)),
        "too long": refusal(rpc.rpc_sync, "worker0", nap, (0.4,), timeout=0.05),
        "limit": rpc.get_rpc_timeout(),
        "deferred": rpc.rpc_sync("worker0", add_later, args=(name, x)).tolist(),
        "deferred there": rpc.remote("worker0", add_later, args=(name, x)).to_here().tolist(),
        "waited": later.done(),
    }


def references(lib):
    rpc = lib.distributed.rpc
    held, there = rpc.RRef(Box(5)), rpc.remote("worker0", Box, args=(7,))
    return {
        "here": (held.is_owner(), held.owner_name(), held.confirmed_by_owner(), held.to_here() is held.local_value()),
        "there": (
            there.is_owner(),
            there.to_here().value,
            there.rpc_sync().get(),
            there.local_value() is there.to_here(),
        ),
        "methods": (held.rpc_sync().get(1), held.rpc_async().get(more=2).wait(), held.remote().get(3).to_here()),
        "failure": refusal(held.rpc_sync().bad)[0],
        "failure there": refusal(held.remote().bad().to_here)[0],
        "no method": refusal(lambda: held.rpc_sync().nothing())[0],
        "copied back": held.rpc_sync().me() is held.local_value(),
        "sent": rpc.rpc_sync("worker0", same, args=(held, held)),
        "pickled": refusal(pickle.dumps, held),
        "printed": str(held).split("local_id")[0],
        "owner": held.owner() == rpc.get_worker_info(),
        "no tensor": refusal(rpc.RRef(3).backward),
    }


def gradients(lib):
    rpc, autograd = lib.distributed.rpc, lib.distributed.autograd
    g = lib.ones(2, requires_grad=True)
    out = {
        "leaf": rpc.rpc_sync("worker0", flags, (g,)),
        "result": rpc.rpc_sync("worker0", flags, (g * 2,)),
        "parameter": rpc.rpc_sync("worker0", flags, (lib.nn.Parameter(lib.ones(2)),)),
        "comes back": flags(rpc.rpc_sync("worker0", scaled, (g,))),
    }
    with lib.no_grad():
        out["mode"] = rpc.rpc_sync("worker0", grad_is_on, (lib.__name__,))
    with autograd.context():
        out["leaf inside"] = rpc.rpc_sync("worker0", flags, (g,))
        out["comes back inside"] = flags(rpc.rpc_sync("worker0", lib.mul, (g, 2)))
        out["nested"] = refusal(autograd.context().__enter__)[0]
    # Only calls that take part: PyTorch waits for the gradient of every call of a context.
    with autograd.context() as first:
        h = lib.full((2,), 3.0, requires_grad=True)
        autograd.backward(first, [(rpc.rpc_sync("worker0", scaled, (g,)) * h).sum()], retain_graph=True)
        found = autograd.get_gradients(first)
        out["gradients"] = (found[g].tolist(), found[h].tolist(), g.grad is None, len(found))
    with autograd.context() as second:
        there = rpc.remote("worker0", lib.mul, (g, h))
        autograd.backward(second, [(there.to_here() * h).sum(), (h * 2).sum()])
        found = autograd.get_gradients(second)
        out["of a reference"] = (found[g].tolist(), found[h].tolist(), len(found), second - first)
    with autograd.context() as third:
        out["no roots"] = refusal(autograd.backward, third, [])
        out["no gradient"] = refusal(autograd.backward, third, [lib.ones(())])
        out["leaf root"] = refusal(autograd.backward, third, [lib.ones((), requires_grad=True)])[0]
        out["no scalar"] = refusal(autograd.backward, third, [g * 2])[0]
        rpc.RRef((g * g).sum()).backward(third)
        autograd.backward(third, [(g * g * 5).sum()])
        out["added"] = autograd.get_gradients(third)[g].tolist()
    out["gone"] = [refusal(autograd.get_gradients, third)[0], refusal(autograd.backward, 12345, [g.sum()])]
    rpc.RRef((g * g).sum()).backward()
    out["without context"] = g.grad.tolist()
    return out


def modules(lib):
    rpc, autograd, remote = lib.distributed.rpc, lib.distributed.autograd, lib.distributed.nn.RemoteModule
    lib.manual_seed(0)
    model, x = remote("worker0/cpu", lib.nn.Linear, args=(2, 1)), lib.ones(3, 2)
    hybrid = lib.nn.Sequential(lib.nn.Identity(), model)
    out = {
        "call": [round(v, 5) for v in model(x).flatten().tolist()],
        "inside another": [round(v, 5) for v in hybrid(x).flatten().tolist()],
        "later": [round(v, 5) for v in model.forward_async(x).wait().flatten().tolist()],
        "keyword": [round(v, 5) for v in model.forward(input=x).flatten().tolist()],
        "parameters": [tuple(ref.to_here().shape) for ref in model.remote_parameters()],
        "refused": [
            refusal(getattr(model, name))
            for name in ("parameters", "state_dict", "named_modules", "zero_grad", "cuda", "extra_repr")
        ],
        "by number": remote("rank:0/cpu", lib.nn.ReLU)(lib.ones(1)).tolist(),
        "no module": refusal(remote("worker0/cpu", dict).get_module_rref().to_here),
        "no worker": refusal(remote, "w7/cpu", lib.nn.ReLU),
        "bad place": refusal(remote, "a/b/c", lib.nn.ReLU),
        "modes": (type(model.train()).__name__, type(model.eval()).__name__, model.module_rref.local_value().training),
        "sent": rpc.rpc_sync("worker0", placed, (model,)),
        "pickled": refusal(pickle.dumps, model),
        "attributes": (model.on, model.device, model.is_scriptable, model.is_device_map_set),
    }
    again = remote.init_from_module_rref("worker0/cpu", model.get_module_rref())
    out["again"] = again.forward(x).tolist() == model(x).tolist()
    with autograd.context() as context:
        autograd.backward(context, [model(x).sum()])
        found = autograd.get_gradients(context)
        out["gradients"] = [found[ref.local_value()].tolist() for ref in model.remote_parameters()]
    return out


OPTIMIZERS = (
    ("SGD", {"lr": 0.1, "momentum": 0.9}), ("SGD", {}), ("Adam", {"lr": 0.1}), ("AdamW", {}), ("Adagrad", {}),
    ("RMSprop", {}), ("Adadelta", {}), ("Adamax", {}), ("Rprop", {}), ("NAdam", {}),
)  # fmt: skip


def optimizers(lib):
    rpc, autograd, optim = lib.distributed.rpc, lib.distributed.autograd, lib.distributed.optim
    out = {}
    for kind, keywords in OPTIMIZERS:
        w, unused = lib.tensor([1.0, -2.0], requires_grad=True), lib.ones(1, requires_grad=True)
        refs = [rpc.RRef(w), rpc.RRef(unused)]
        optimizer = optim.DistributedOptimizer(getattr(lib.optim, kind), refs, **keywords)
        for _ in range(3):
            with autograd.context() as context:
                autograd.backward(context, [(rpc.rpc_sync("worker0", scaled, (w,)) ** 2).sum()])
                optimizer.step(context)
        out[f"{kind} {keywords}"] = [round(v, 5) for v in w.tolist()], unused.tolist(), w.grad is None
    out["gone"] = refusal(optimizer.step, 99)
    return out


def story(lib, folder):
    """All of it, from before the start to after the end."""
    out = {"before": before(lib, folder)}
    rpc = lib.distributed.rpc
    rpc.init_rpc("worker0", rank=0, world_size=1, rpc_backend_options=options(lib, folder, "good"))
    try:
        for part in (calls, references, gradients, modules, optimizers):
            out[part.__name__] = part(lib)
    finally:
        rpc.shutdown()
    out["after"] = [refusal(rpc.rpc_sync, "worker0", scaled, (1,)), refusal(rpc.shutdown)]
    return out
