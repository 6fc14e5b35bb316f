"""Owns ``GraphModule``: a module whose ``forward`` is the source that its graph generates.

May import graphs, the source writer and nn.
"""

from __future__ import annotations

import copy
import itertools
import linecache
import pickle
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .._tensor.tensor import Tensor
from ..nn import BatchNorm1d, BatchNorm2d, BatchNorm3d, Conv1d, Conv2d, Conv3d, Linear, Module, Parameter
from ._codegen import PythonCode, _PyTreeCodeGen, custom_builtins
from .graph import Graph

_USER_PRESERVED_ATTRIBUTES_KEY = "_user_preserved_attributes"
_LIBRARY = str(Path(__file__).parent.parent)
_HOOKS = ("_state_dict_hooks", "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks")
_count = itertools.count()


class _Loader:
    """Knows generated sources by the names that stand for their files."""

    def __init__(self) -> None:
        self.sources: dict[str, str] = {}

    def get_source(self, name: str) -> str | None:
        """The source, for tracebacks."""
        return self.sources.get(name)


_loader = _Loader()


def _forward_from_src(src: str, globals_: dict[str, Any], traced: str = "") -> Callable[..., Any]:
    """The function ``forward`` of a source; tracebacks show its lines, and the place that was traced."""
    key = f"<eval_with_key>.{next(_count)}{traced}"
    _loader.sources[key] = src
    scope = {**globals_, "__file__": key, "__name__": key, "__loader__": _loader}
    linecache.lazycache(key, scope)
    exec(compile(src, key, "exec", dont_inherit=True), scope)
    return scope.pop("forward")


def _import_block(globals_: dict[str, Any]) -> str:
    """The statements that give a source its global names, in another process as well.

    Raises:
        pickle.PicklingError: an object that cannot be imported.
    """
    lines = set()
    for name, value in globals_.items():
        if name in custom_builtins:
            lines.add(custom_builtins[name].import_str)
            continue
        module = pickle.whichmodule(value, value.__qualname__)  # type: ignore[attr-defined]
        if "." in value.__qualname__ or getattr(sys.modules.get(module), value.__qualname__, None) is not value:
            raise pickle.PicklingError(
                f"GraphModule: expected functions that can be imported, received {value!r} from {module}; give it a "
                "name at the top of a module."
            )
        lines.add(f"from {module} import {value.__qualname__} as {name}")
    return "".join(f"{line}\n" for line in sorted(lines))


class _CodeOnlyModule(Module):
    """A module that is only the attributes of another one.

    Args:
        body: the attributes.
    """

    def __init__(self, body: dict[str, Any]):
        super().__init__()
        self.__dict__ = body


def reduce_graph_module(body: dict[str, Any], import_block: str) -> Module:
    """Build a pickled graph module again.

    Args:
        body: its attributes; the graph among them, or else its source, which is traced again.
        import_block: the statements before the source.
    """
    graph: Any = body.pop("_graph", None)
    root = Module.__new__(_CodeOnlyModule)
    root.__setstate__(body)
    if graph is None:
        from ._symbolic_trace import Tracer

        tracer_cls = body.get("_tracer_cls") or Tracer

        class KeepModules(tracer_cls):  # type: ignore[misc, valid-type]
            def is_leaf_module(self, m: Module, module_qualified_name: str) -> bool:
                return True

        source = body.get("_code") or body["code"]
        traced = type("_CodeOnly", (_CodeOnlyModule,), {"forward": _forward_from_src(import_block + source, {})})
        root.__class__ = traced
        graph = KeepModules().trace(root)
        graph._tracer_cls = tracer_cls
    made = GraphModule(root, graph, class_name=body.get("_graphmodule_cls_name", "GraphModule"))
    for name, value in body.items():
        if not hasattr(made, name):
            setattr(made, name, value)
    return made


def _walk_to(module: Module, path: list[str]) -> Module:
    """The module at the end of a path; modules on the way are made where they are missing."""
    for name in path:
        if getattr(module, name, None) is None:
            setattr(module, name, Module())
        module = getattr(module, name)
    return module


def _assign_attr(from_obj: Any, to_module: Module, target: str) -> None:
    """Give a module a value under a dotted name; tensors become buffers.

    Args:
        from_obj: the value.
        to_module: who gets it.
        target: the dotted name.
    """
    *path, last = target.split(".")
    to_module = _walk_to(to_module, path)
    if isinstance(from_obj, Tensor) and not isinstance(from_obj, Parameter):
        to_module.register_buffer(last, from_obj)
    else:
        setattr(to_module, last, from_obj)


def _copy_attr(from_module: Module, to_module: Module, target: str) -> None:
    """Give a module what another one has under a dotted name; modules on the way are made where they are missing.

    Args:
        from_module: who has it.
        to_module: who gets it.
        target: the dotted name.
    """
    *path, last = target.split(".")
    for name in path:
        from_module, there = getattr(from_module, name), getattr(to_module, name, None)
        if from_module is there:
            return
        to_module = _walk_to(to_module, [name])
    value = getattr(from_module, last)
    if isinstance(value, Tensor) and not isinstance(value, Parameter):
        to_module.register_buffer(last, value, last not in from_module._non_persistent_buffers_set)
    else:
        setattr(to_module, last, value)


def _get_attr(model: Module, attr_name: str) -> Any:
    """What a module has under a dotted name."""
    for name in attr_name.split("."):
        model = getattr(model, name)
    return model


def _del_attr(model: Module, attr_name: str) -> None:
    """Take away what a module has under a dotted name."""
    path, _, last = attr_name.rpartition(".")
    delattr(_get_attr(model, path) if path else model, last)


def _has_attr(model: Module, attr_name: str) -> bool:
    """Whether a module has something under a dotted name."""
    try:
        _get_attr(model, attr_name)
    except AttributeError:
        return False
    return True


def _indented(text: str) -> str:
    first, *rest = text.split("\n")
    return "\n".join([first, *(f"    {line}" if line.strip() else "" for line in rest)])


def _failure(frame: traceback.FrameSummary) -> str:
    """The traceback, and the lines around the one that failed."""
    lines, at = _loader.sources[frame.filename].splitlines(keepends=True), frame.lineno or 1
    return "\n".join(
        [
            traceback.format_exc(),
            f"Call using an FX-traced Module, line {at} of the traced Module's generated forward function:",
            "".join(lines[max(at - 2, 0) : at]),
            "~" * len(lines[at - 1].strip()) + "~~~ <--- HERE",
            "\n".join(lines[at : at + 2]),
        ]
    )


class GraphModule(Module):
    """A module that runs a graph.

    Args:
        root: a module that has the parameters, buffers and modules that the graph names, or a dict of them by name.
        graph: the graph.
        class_name: what the module's class is called.

    Raises:
        RuntimeError: ``root`` has not what the graph names, or is neither.

    Example:
        >>> import rushlight as torch
        >>> module = torch.fx.symbolic_trace(torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU()))
        >>> for node in module.graph.nodes:
        ...     if node.op == "call_module" and node.target == "1":
        ...         with module.graph.inserting_after(node):
        ...             tanh = module.graph.call_function(torch.tanh, node.args)
        ...             node.replace_all_uses_with(tanh)
        ...         module.graph.erase_node(node)
        [output]
        >>> _ = module.recompile()
        >>> print(module.code.strip())
        def forward(self, input):
            input_1 = input
            _0 = getattr(self, "0")(input_1);  input_1 = None
            tanh = torch.tanh(_0);  _0 = None
            return tanh
    """

    _graph: Graph
    _code: str

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        base = next(one for one in cls.__mro__ if one.__qualname__.rpartition(".")[2] != "GraphModuleImpl")

        class GraphModuleImpl(base):  # type: ignore[misc, valid-type]
            """The class of one instance: ``forward`` is its own."""

        GraphModuleImpl.__module__ = base.__module__
        return super().__new__(GraphModuleImpl)

    def __init__(self, root: Module | dict[str, Any], graph: Graph, class_name: str = "GraphModule"):
        super().__init__()
        type(self).__name__ = class_name
        wanted = [node for node in graph.nodes if node.op in ("get_attr", "call_module")]
        if isinstance(root, Module):
            self.training = getattr(root, "training", True)
            if isinstance(root, _CodeOnlyModule):
                for found in (root.named_children(), root.named_buffers(), root.named_parameters()):
                    for name, _ in list(found):
                        _copy_attr(root, self, name)
            for node in wanted:
                _copy_attr(root, self, node.target)
        elif isinstance(root, dict):
            for node in wanted:
                if node.target not in root:
                    raise RuntimeError(
                        f"Node {node} referenced target {node.target} but that target was not provided in ``root``!"
                    )
            for target in sorted((node.target for node in wanted), key=lambda name: name.count(".")):
                _assign_attr(root[target], self, target)
        else:
            raise RuntimeError(f"Unsupported type {root} passed for root!")
        self.graph = graph
        tracer_cls = graph._tracer_cls
        self._tracer_cls = None if tracer_cls is None or "<locals>" in tracer_cls.__qualname__ else tracer_cls
        self._tracer_extras = graph._tracer_extras or {}
        self.meta: dict[str, Any] = {}

    @property
    def graph(self) -> Graph:
        """The graph; assigning another one generates the source anew."""
        return self._graph

    @graph.setter
    def graph(self, g: Graph) -> None:
        if not isinstance(g, Graph):
            raise AssertionError(f"Expected a Graph instance, but got {type(g)}")
        self._graph = g
        g.owning_module = self
        self.recompile()

    @property
    def code(self) -> str:
        """The source of ``forward``.

        Raises:
            RuntimeError: it has not been generated.
        """
        if "_code" not in self.__dict__:
            raise RuntimeError("Code has not been generated: expected a graph; GraphModule.recompile() generates it.")
        return self._code

    def recompile(self) -> PythonCode:
        """Generate ``forward`` anew: needed after each change of the graph."""
        codegen = self._graph._codegen
        if isinstance(codegen, _PyTreeCodeGen):
            self._in_spec, self._out_spec = codegen.pytree_info.in_spec, codegen.pytree_info.out_spec
        made = self._graph.python_code(root_module="self")
        self._code = made.src
        type(self).forward = _forward_from_src(made.src, made.globals, self._graph._traced)  # type: ignore[method-assign]
        for child in self.children():
            if isinstance(child, GraphModule):
                child.recompile()
        return made

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            while len(frames) > 1 and frames[-1].filename.startswith((_LIBRARY, "<jax", "<frozen")):
                frames.pop()  # what failed inside of an operator failed on the line that called it
            if frames[-1].filename in _loader.sources:
                print(_failure(frames[-1]), file=sys.stderr)
                raise error.with_traceback(None) from None
            raise

    # -- what it holds --------------------------------------------------------------------------------------------

    def add_submodule(self, target: str, m: Module) -> bool:
        """Add a module under a dotted name; modules on the way are made where they are missing.

        Args:
            target: the dotted name.
            m: the module.

        Returns:
            Whether it was added; it is not where something on the way is no module.
        """
        *path, last = target.split(".")
        at: Any = self
        for name in path:
            at = _walk_to(at, [name])
            if not isinstance(at, Module):
                return False
        at.add_module(last, m)
        return True

    def delete_submodule(self, target: str) -> bool:
        """Take a module away by its dotted name.

        Args:
            target: the dotted name.

        Returns:
            Whether there was one.
        """
        if not _has_attr(self, target) or not isinstance(_get_attr(self, target), Module):
            return False
        _del_attr(self, target)
        return True

    def delete_all_unused_submodules(self) -> None:
        """Take away every module that the graph does not use."""
        used: set[str] = set()
        for node in self.graph.nodes:
            if node.op in ("call_module", "get_attr"):
                used.update(itertools.accumulate(node.target.split("."), lambda x, y: f"{x}.{y}"))
            if node.op == "call_module" and _has_attr(self, node.target):
                inside = self.get_submodule(node.target).named_modules()
                used.update(f"{node.target}.{name}" for name, _ in inside if name)
        for name in [name for name, _ in self.named_modules() if name not in used]:
            if name:
                self.delete_submodule(name)

    # -- printing ---------------------------------------------------------------------------------------------------

    def print_readable(
        self, print_output: bool = True, include_stride: bool = False, include_device: bool = False,
        colored: bool = False, *, fast_sympy_print: bool = False, expanded_def: bool = False,
        additional_meta: list[str] | None = None,
    ) -> str:  # fmt: skip
        """The source with what is known of each step: where it is from, its dtype and sizes.

        Args:
            print_output: print it as well.
            include_stride, include_device: also say these.
            colored: with colors for a terminal.
            fast_sympy_print: accepted: there are no symbols to print.
            expanded_def: one parameter a line.
            additional_meta: further entries of ``meta`` to show.
        """
        options: dict[str, Any] = {
            "include_stride": include_stride, "include_device": include_device, "colored": colored,
            "additional_meta": additional_meta,
        }  # fmt: skip
        text = _readable(self, self._get_name(), expanded_def=expanded_def, **options)
        if print_output:
            print(text)
        return text

    def __str__(self) -> str:
        reminder = "# To see more debug info, please use `graph_module.print_readable()`"
        return "\n".join([super().__str__(), self._code, reminder])

    def to_folder(self, folder: Any, module_name: str = "FxModule") -> None:
        """Write the module as a Python package: its source and its state.

        Args:
            folder: where to.
            module_name: what the class is called.
        """
        from ..checkpoint import save

        folder = Path(folder)
        folder.mkdir(exist_ok=True)
        save(self.state_dict(), folder / "state_dict.pt")
        pickled: list[str] = []
        lines = []
        for name, module in self.named_children():
            if type(module) in (Linear, Conv1d, Conv2d, Conv3d, BatchNorm1d, BatchNorm2d, BatchNorm3d):
                lines.append(f"setattr(self, '{name}', {module!r})")
            else:
                file = folder / f"{name}.pickle"
                file.write_bytes(pickle.dumps(module))
                pickled.append(name)
                lines.append(f"setattr(self, '{name}', pickle.loads(pathlib.Path(r'{file}').read_bytes()))")
        for name, buffer in self._buffers.items():
            if name in self._non_persistent_buffers_set:
                file = folder / f"{name}.pickle"
                file.write_bytes(pickle.dumps(buffer))
                read = f"pickle.loads(pathlib.Path(r'{file}').read_bytes())"
                lines.append(f"self.register_buffer('{name}', {read}, persistent=False)")
            elif buffer is not None:
                empty = f"torch.empty({list(buffer.shape)}, dtype={buffer.dtype})"
                lines.append(f"self.register_buffer('{name}', {empty})")
        for name, parameter in self._parameters.items():
            if parameter is not None:
                empty = f"torch.empty({list(parameter.shape)}, dtype={parameter.dtype})"
                lines.append(f"setattr(self, '{name}', torch.nn.Parameter({empty}))")
        lines.append(f"self.load_state_dict(torch.load(r'{folder}/state_dict.pt'))")
        body = "".join(f"        {line}\n" for line in lines)
        imports = "import pathlib\nimport pickle\n" + _import_block(self.recompile().globals)
        (folder / "module.py").write_text(
            f"{imports}\nfrom rushlight.nn import *\n\n\nclass {module_name}(torch.nn.Module):\n"
            f"    def __init__(self):\n        super().__init__()\n{body}{_indented(self.code)}\n"
        )
        (folder / "__init__.py").write_text("from .module import *\n")
        if pickled:
            warnings.warn(
                "Was not able to save the following children modules as reprs -saved as pickled files instead: "
                f"{pickled}",
                stacklevel=2,
            )

    # -- copies and pickles -----------------------------------------------------------------------------------------

    def __reduce__(self) -> Any:
        block = _import_block(self.recompile().globals)
        return reduce_graph_module, (self.__getstate__(), block)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__reduce__()

    def __deepcopy__(self, memo: dict) -> GraphModule:
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        root = _CodeOnlyModule(copy.deepcopy(self.__dict__, memo))
        GraphModule.__init__(made, root, root.__dict__["_graph"])
        for name in _HOOKS:
            if self.__dict__.get(name):
                setattr(made, name, copy.deepcopy(self.__dict__[name], memo))
        made.meta = copy.deepcopy(self.__dict__.get("meta", {}), memo)
        for name, value in made.meta.get(_USER_PRESERVED_ATTRIBUTES_KEY, {}).items():
            setattr(made, name, value)
        return made

    def __copy__(self) -> GraphModule:
        made = GraphModule(self, self.graph)
        made.meta = self.__dict__.get("meta", {})
        return made


def _readable(module: GraphModule, name: str, **options: Any) -> str:
    code = module.graph.python_code(root_module="self", verbose=True, **options).src.lstrip("\n")
    text = _indented(f"class {name}(torch.nn.Module):\n{code}")
    options.pop("expanded_def", None)
    inner = [_readable(child, n, **options) for n, child in module.named_children() if isinstance(child, GraphModule)]
    return text + _indented("\n".join(["", *inner]))


__all__ = ["GraphModule", "reduce_graph_module"]
