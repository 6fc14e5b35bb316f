"""Owns which names ``__torch_function__`` does and does not take over, and how torch hands each of them on.

May import nothing: these are lists of names.
"""

SPACES = (
    "torch",
    "torch.functional",
    "torch.nn.functional",
    "torch.linalg",
    "torch.fft",
    "torch.special",
    "torch.nn.init",
)


def _names(prefix: str, names: str) -> frozenset:
    return frozenset(prefix + name for name in names.split())


# Functions that take no tensors, or answer for themselves.
NEVER = _names(
    "torch.",
    "functional.broadcast_shapes "
    "are_deterministic_algorithms_enabled broadcast_shapes compile compiled_with_cxx11_abi cond eig from_file "
    "from_numpy frombuffer from_dlpack get_default_device get_default_dtype get_deterministic_debug_mode "
    "get_device_module get_float32_matmul_precision get_num_interop_threads get_num_threads get_rng_state "
    "init_num_threads initial_seed is_anomaly_check_nan_enabled is_anomaly_enabled "
    "is_deterministic_algorithms_warn_only_enabled is_grad_enabled is_inference_mode_enabled is_storage is_tensor "
    "is_vulkan_available is_warn_always_enabled lstsq manual_seed matrix_rank seed set_anomaly_enabled "
    "set_default_device set_default_dtype set_default_tensor_type set_deterministic_debug_mode "
    "set_float32_matmul_precision set_flush_denormal set_num_interop_threads set_num_threads set_printoptions "
    "set_rng_state set_warn_always solve symeig typename use_deterministic_algorithms vmap while_loop",
) | _names("torch.nn.functional.", "upsample upsample_bilinear upsample_nearest")
NEVER_METHODS = frozenset(
    {
        "__hash__", "__iter__", "__jax_array__", "__init_subclass__", "__torch_function__", "as_subclass", "eig",
        "lstsq", "solve", "symeig", "names",
        # torch has none of these:
        "alias", "fill", "logaddexp2_", "logaddexp_", "rsub", "rsub_", "view_as_complex", "view_as_real",
    }
)  # fmt: skip
# Taken over by modes, and by classes where an argument is of one; torch lists them as not overridable.
FACTORIES = _names(
    "",
    "arange as_strided bartlett_window blackman_window can_cast cudnn_is_acceptable empty empty_permuted empty_strided "
    "eye fftfreq fill full hamming_window hann_window kaiser_window linspace logspace normal ones promote_types rand "
    "rand_like randint randint_like randn randn_like randperm range result_type rfftfreq scalar_tensor "
    "sparse_coo_tensor tril_indices triu_indices vander zeros",
)
# Only modes see these.
MODES_ONLY = _names("torch.", "as_tensor asarray tensor")
INIT = frozenset({"constant_", "kaiming_uniform_", "normal_", "uniform_"})
# Functions of torch.nn.functional that torch has in C++: handlers get their arguments as they were given.
BUILTIN = _names(
    "",
    "adaptive_avg_pool1d avg_pool1d avg_pool2d avg_pool3d bilinear celu_ channel_shuffle conv1d conv2d conv3d conv_tbc "
    "conv_transpose1d conv_transpose2d conv_transpose3d cosine_similarity elu_ gelu hardshrink hardtanh_ leaky_relu_ "
    "linear logsigmoid native_channel_shuffle one_hot pairwise_distance pdist pixel_shuffle pixel_unshuffle prelu "
    "relu_ rrelu_ scaled_dot_product_attention selu_ softplus softshrink threshold_",
)
# Functions elsewhere that torch has in Python.
PYTHON = (
    _names(
        "torch.functional.",
        "atleast_1d atleast_2d atleast_3d block_diag broadcast_tensors cartesian_prod cdist chain_matmul einsum lu "
        "meshgrid norm split stft tensordot unique unique_consecutive",
    )
    | _names("torch.", "pca_lowrank svd_lowrank")
    | _names(
        "torch.Tensor.",
        "__contains__ __floordiv__ __ipow__ __pow__ __rdiv__ __reversed__ __rfloordiv__ __rlshift__ __rmatmul__ "
        "__rmod__ __rpow__ __rrshift__ __rsub__ backward istft lu norm split stft unique unique_consecutive",
    )
    | _names("torch.nn.init.", "constant_ kaiming_uniform_ normal_ uniform_")
)
# What torch shows handlers for Python's operators, where it is another function.
_ADDED = {
    "add": "add", "radd": "add", "iadd": "add_", "sub": "sub", "isub": "sub_", "mul": "mul", "rmul": "mul",
    "imul": "mul_", "truediv": "div", "div": "div", "itruediv": "div_", "idiv": "div_", "ifloordiv": "floor_divide_",
    "mod": "remainder", "imod": "remainder_", "pow": "pow", "ipow": "pow_", "matmul": "matmul", "neg": "neg",
    "pos": "positive", "abs": "abs", "ne": "ne", "lt": "lt", "le": "le", "gt": "gt", "ge": "ge",
}  # fmt: skip
CALLED = {f"__{name}__": f"torch.Tensor.{method}" for name, method in _ADDED.items()} | {
    "__rand__": "torch.bitwise_and",
    "__ror__": "torch.bitwise_or",
    "__rxor__": "torch.bitwise_xor",
    "__rtruediv__": "torch.Tensor.__rdiv__",
}
# Where a refusal lets Python ask the other operand.
BINARY = frozenset(
    f"__{form}{name}__"
    for name in _names("", "add sub mul truediv div floordiv mod pow matmul and or xor lshift rshift")
    for form in ("", "r", "i")
) | frozenset({"__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"})
