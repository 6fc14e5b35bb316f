"""Products, factorizations and solutions: identities they fulfil, golden values, and their errors."""

import pytest

import rushlight as torch

A = torch.tensor([[4.0, 2.0, 0.5], [2.0, 5.0, 1.0], [0.5, 1.0, 3.0]], dtype=torch.float64)
B = torch.tensor([[1.0, -2.0], [0.5, 3.0], [2.0, 1.0]], dtype=torch.float64)


def close(a, b):
    return torch.allclose(a, b, rtol=1e-10, atol=1e-12)


def test_factorizations_multiply_back():
    L = torch.linalg.cholesky(A)
    Q, R = torch.linalg.qr(B)
    U, S, Vh = torch.linalg.svd(B, full_matrices=False)
    P, lower, upper = torch.linalg.lu(A)
    w, V = torch.linalg.eigh(A)
    values, vectors = torch.linalg.eig(A)
    assert close(L @ L.mT, A)
    assert close(torch.linalg.cholesky(A, upper=True).mT, L)
    assert close(Q @ R, B)
    assert close(U * S @ Vh, B)
    assert close(P @ lower @ upper, A)
    assert close(V * w @ V.mT, A)
    assert close((vectors * values @ torch.linalg.inv(vectors)).real, A)
    assert close(torch.linalg.householder_product(*torch.geqrf(B)), Q)
    assert close(torch.linalg.lu_solve(*torch.linalg.lu_factor(A), B), torch.linalg.solve(A, B))


def test_solutions():
    X = torch.linalg.solve(A, B)
    assert close(A @ X, B)
    assert close(torch.linalg.solve(A, B.mT, left=False) @ A, B.mT)
    assert close(torch.linalg.inv(A) @ A, torch.eye(3, dtype=torch.float64))
    assert close(torch.linalg.pinv(B) @ B, torch.eye(2, dtype=torch.float64))
    assert close(torch.linalg.lstsq(B, A).solution, torch.linalg.pinv(B) @ A)
    assert close(torch.cholesky_solve(B, torch.linalg.cholesky(A)), X)
    assert close(torch.linalg.solve_triangular(A.triu(), B, upper=True), torch.linalg.inv(A.triu()) @ B)


def test_numbers():
    assert torch.linalg.det(A).item() == pytest.approx(44.75)
    sign, size = torch.linalg.slogdet(-A)
    assert (sign.item(), size.exp().item()) == (-1, pytest.approx(44.75))
    assert torch.linalg.matrix_rank(torch.ones(3, 3)).item() == 1
    assert torch.linalg.cond(torch.diag(torch.tensor([8.0, 2.0]))).item() == pytest.approx(4)
    assert torch.linalg.norm(torch.tensor([3.0, 4.0])).item() == 5
    assert torch.linalg.norm(torch.tensor([[1.0, -2.0], [3.0, 4.0]]), 1).item() == 6
    assert torch.linalg.matrix_exp(torch.tensor([[0.0, 1.0], [0.0, 0.0]])).tolist() == [[1, 1], [0, 1]]
    assert torch.linalg.matrix_power(torch.tensor([[1.0, 1.0], [0.0, 1.0]]), 5).tolist() == [[1, 5], [0, 1]]
    assert torch.linalg.matrix_power(torch.tensor([[2.0]]), -2).tolist() == [[0.25]]


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda: torch.linalg.inv(torch.zeros(2, 2)), "linalg.inv: The diagonal element 1 is zero"),
        (lambda: torch.linalg.inv(torch.stack([torch.eye(2), torch.ones(2, 2)])), r"\(Batch element 1\): The diagonal"),
        (lambda: torch.linalg.solve(torch.ones(2, 2), torch.ones(2)), "The solver failed because the input matrix is"),
        (lambda: torch.linalg.cholesky(torch.tensor([[1.0, 2.0], [2.0, 1.0]])), "the leading minor of order 2 is not"),
    ],
)
def test_singular_matrices_raise(call, text):
    with pytest.raises(torch.linalg.LinAlgError, match=text):
        call()


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda: torch.linalg.det(torch.ones(2, 3)), "A must be batches of square matrices, but they are 2 by 3 matr"),
        (lambda: torch.linalg.svd(torch.ones(2)), "The input tensor A must have at least 2 dimensions"),
        (
            lambda: torch.linalg.norm(torch.ones(2).long()),
            "Expected a floating point or complex tensor as input",
        ),
        (lambda: torch.linalg.qr(torch.ones(2, 2), "raw"), "qr received unrecognized mode 'raw'"),
        (lambda: torch.ones(2, 3) @ torch.ones(2, 3), r"mat1 and mat2 shapes cannot be multiplied \(2x3 and 2x3\)"),
        (lambda: torch.linalg.multi_dot([torch.ones(2, 2)]), "expected at least 2 tensors but got 1"),
    ],
)
def test_shapes_and_dtypes_are_checked(call, text):
    with pytest.raises(RuntimeError, match=text):
        call()


def test_symmetric_indefinite_systems():
    """With pivots of one row and of two, of zero diagonals, alone and inside a program."""
    torch.manual_seed(0)
    for n, zero in ((6, False), (9, True)):
        R = torch.randn(2, n, n, dtype=torch.complex128)
        for S, hermitian in ((R + R.mT, False), (R + R.mH, True), (R.real + R.real.mT, True)):
            if zero:
                S.diagonal(dim1=-2, dim2=-1).zero_()
            X = torch.randn(2, n, 3, dtype=S.dtype)

            def solve(S, B, hermitian=hermitian):
                factors = torch.linalg.ldl_factor_ex(S, hermitian=hermitian)
                return torch.linalg.ldl_solve(factors.LD, factors.pivots, B, hermitian=hermitian)

            assert torch.allclose(solve(S, S @ X), X)
            assert torch.allclose(torch.compile(solve, fullgraph=True)(S, S @ X), X)
            if zero:
                assert (torch.linalg.ldl_factor(S, hermitian=hermitian).pivots < 0).any()
    with pytest.raises(torch.linalg.LinAlgError, match="The diagonal element 1 of D is zero"):
        torch.linalg.ldl_factor(torch.zeros(2, 2))


def test_gradients_by_hand():
    x = A.clone().requires_grad_()
    torch.linalg.det(x).backward()
    assert close(x.grad, 44.75 * torch.linalg.inv(A).mT)
    x.grad = None
    torch.logdet(x).backward()
    assert close(x.grad, torch.linalg.inv(A).mT)
    x.grad = None
    torch.linalg.inv(x).sum().backward()
    ones = torch.ones(3, 3, dtype=torch.float64)
    assert close(x.grad, -(torch.linalg.inv(A) @ ones @ torch.linalg.inv(A)).mT)


def test_norms_at_zero_have_a_gradient_of_zero():
    x = torch.zeros(3, requires_grad=True)
    for p in (2, 1, 3, float("inf")):
        torch.linalg.vector_norm(x, p).backward()
    assert x.grad.tolist() == [0, 0, 0]
