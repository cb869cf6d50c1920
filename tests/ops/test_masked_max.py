import sys
from importlib.util import find_spec

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pointmcd.ops.masked_max import _choose, _forward_fill, masked_max, max_over_points

NEEDS_TRITON = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
BACKENDS = ("torch", "numba", pytest.param("triton", marks=NEEDS_TRITON))


def pool(embeddings, visibility, backend):
    """The masked max; Triton's on a GPU, or where there is none in its interpreter."""
    if backend != "triton" or not torch.cuda.is_available():
        return masked_max(embeddings, visibility, backend)
    return masked_max(embeddings.cuda(), visibility.cuda(), backend).cpu()


def naive(embeddings: torch.Tensor, visibility: torch.Tensor) -> torch.Tensor:
    """The definition, one (shape, view, channel) at a time; plain autograd gives its gradient."""
    batch, _, channels = embeddings.shape
    rows = []
    for b in range(batch):
        for v in range(visibility.shape[2]):
            seen = [m for m in range(embeddings.shape[1]) if visibility[b, m, v]]
            for c in range(channels):
                # max() of Python keeps the first of equals.
                rows.append(max((embeddings[b, m, c] for m in seen), default=0 * embeddings.sum()))
    return torch.stack(rows).view(batch, -1, channels)


def gradient(function, embeddings, visibility):
    leaf = embeddings.clone().requires_grad_()
    pooled = function(leaf, visibility)
    weights = torch.arange(1.0, pooled.numel() + 1, device=pooled.device).view_as(pooled)
    (pooled * weights).sum().backward()
    return pooled.detach(), leaf.grad


def check(embeddings, visibility, backend):
    wanted, wanted_grad = gradient(naive, embeddings, visibility)
    found, found_grad = gradient(
        lambda e, v: pool(e, v, backend),
        embeddings,
        visibility,
    )
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)
    torch.testing.assert_close(found_grad, wanted_grad)


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    batch=st.integers(1, 3),
    points=st.integers(1, 7),
    views=st.integers(1, 3),
    channels=st.integers(1, 5),
    density=st.sampled_from([0.0, 0.3, 1.0]),
    levels=st.sampled_from([2, 1000]),
)
def test_equals_the_naive_reference(backend, seed, batch, points, views, channels, density, levels):
    generator = torch.Generator().manual_seed(seed)
    # Two levels make exact ties common; all values may be negative.
    embeddings = -torch.randint(0, levels, (batch, points, channels), generator=generator).float()
    visibility = torch.rand(batch, points, views, generator=generator) < density
    check(embeddings, visibility, backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_view_that_sees_nothing_gives_zero_and_no_gradient(backend):
    embeddings = -torch.ones(1, 4, 3)
    visibility = torch.zeros(1, 4, 2, dtype=torch.bool)
    visibility[0, 2, 1] = True
    pooled, grad = gradient(lambda e, v: pool(e, v, backend), embeddings, visibility)
    assert (pooled[0, 0] == 0).all()
    assert (pooled[0, 1] == -1).all()
    assert (grad[0, [0, 1, 3]] == 0).all()
    assert (grad[0, 2] != 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_first_of_equal_points_takes_the_gradient(backend):
    visibility = torch.ones(1, 5, 1, dtype=torch.bool)
    visibility[0, 0] = False
    _, grad = gradient(lambda e, v: pool(e, v, backend), torch.zeros(1, 5, 2), visibility)
    assert grad[0, :, 0].nonzero().flatten().tolist() == [1]


@pytest.mark.parametrize("backend", BACKENDS)
def test_permuting_points_changes_nothing(backend):
    embeddings, visibility = torch.randn(2, 50, 8), torch.rand(2, 50, 3) < 0.5
    order = torch.randperm(50)
    first = pool(embeddings, visibility, backend)
    second = pool(embeddings[:, order], visibility[:, order], backend)
    assert torch.equal(first, second)


@pytest.mark.parametrize("backend", BACKENDS)
def test_seeing_more_points_never_lowers_the_max(backend):
    embeddings, few = torch.rand(2, 40, 8), torch.rand(2, 40, 3) < 0.2
    more = few | (torch.rand(2, 40, 3) < 0.2)
    assert (pool(embeddings, more, backend) >= pool(embeddings, few, backend)).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_minus_infinity_is_an_ordinary_value(backend):
    embeddings = torch.full((1, 2, 1), -torch.inf)
    pooled = pool(embeddings, torch.ones(1, 2, 1, dtype=torch.bool), backend)
    assert pooled.item() == -torch.inf


@pytest.mark.parametrize("backend", BACKENDS)
def test_not_a_number_is_not_hidden(backend):
    embeddings, visibility = torch.randn(1, 50, 3), torch.ones(1, 50, 2, dtype=torch.bool)
    embeddings[0, [40, 45], 1] = torch.nan
    visibility[0, [40, 45], 1] = False
    pooled, grad = gradient(lambda e, v: pool(e, v, backend), embeddings, visibility)
    assert pooled.isnan().tolist() == [[[False, True, False], [False, False, False]]]
    assert grad[0, 40, 1] == 2


@pytest.mark.parametrize("backend", BACKENDS)
def test_sizes_that_no_tile_divides(backend):
    torch.manual_seed(0)
    embeddings, visibility = torch.randn(2, 70, 67), torch.rand(2, 70, 3) < 0.3
    embeddings[:, 40:] = embeddings[:, :30]  # ties between one tile and another
    check(embeddings, visibility, backend)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_all_points_are_pooled_and_the_first_of_equals_takes_the_gradient(dtype):
    embeddings = torch.tensor([[[1, 5, -2], [4, 5, -3]]], dtype=dtype).requires_grad_()
    pooled = max_over_points(embeddings)
    assert pooled.tolist() == [[4, 5, -2]]
    pooled.sum().backward()
    assert embeddings.grad.tolist() == [[[0, 1, 1], [1, 0, 0]]]


@NEEDS_TRITON
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_in_triton(dtype):
    torch.manual_seed(0)
    embeddings, visibility = torch.randn(2, 40, 5).to(dtype), torch.rand(2, 40, 3) < 0.4
    wanted = gradient(lambda e, v: masked_max(e, v, "torch"), embeddings, visibility)
    found = gradient(lambda e, v: pool(e, v, "triton"), embeddings, visibility)
    assert torch.equal(found[0], wanted[0])
    assert found[1].dtype == dtype
    torch.testing.assert_close(found[1], wanted[1])


def test_accelerator_path_equals_the_reference():
    embeddings, visibility = torch.randn(2, 30, 6), torch.rand(2, 30, 4) < 0.3
    visibility[0, :, 1] = False
    pooled, argmax = _forward_fill(embeddings, visibility)
    assert torch.equal(pooled, naive(embeddings, visibility))
    assert (argmax[0, 1] == -1).all()


def test_double_precision_passes_gradcheck():
    embeddings = torch.randn(2, 6, 3, dtype=torch.float64, requires_grad=True)
    visibility = torch.rand(2, 6, 2) < 0.6
    assert torch.autograd.gradcheck(lambda e: masked_max(e, visibility), (embeddings,))


def test_only_the_argmax_is_kept_for_the_backward_pass():
    embeddings = torch.randn(2, 64, 16, requires_grad=True)
    pooled = masked_max(embeddings, torch.rand(2, 64, 3) < 0.5)
    saved = pooled.grad_fn.saved_tensors
    assert [tuple(t.shape) for t in saved] == [(2, 3, 16)]
    assert saved[0].dtype == torch.int32


def test_triton_refuses_what_it_would_round():
    embeddings, visibility = torch.zeros(1, 4, 2).double(), torch.ones(1, 4, 2).bool()
    with pytest.raises(ValueError, match="float64"):
        masked_max(embeddings, visibility, "triton")


def test_without_triton_the_torch_path_is_chosen(triton_device, monkeypatch):
    embeddings = torch.randn(1, 4, 2, device=triton_device, dtype=torch.float16, requires_grad=True)
    visibility = torch.ones(1, 4, 2, dtype=torch.bool, device=triton_device)
    assert _choose("auto", embeddings) == "triton"
    monkeypatch.setitem(sys.modules, "triton", None)
    assert _choose("auto", embeddings) == "torch"
    pooled = masked_max(embeddings, visibility)
    pooled.sum().backward()
    assert torch.equal(pooled, embeddings.max(dim=1).values[:, None].expand_as(pooled))
    with pytest.raises(ValueError, match="pip install triton"):
        masked_max(embeddings, visibility, "triton")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_full_size_on_a_gpu(dtype):
    embeddings = torch.randn(8, 1024, 1000, device="cuda").to(dtype)
    visibility = torch.rand(8, 1024, 12, device="cuda") < 0.4
    wanted = gradient(masked_max, embeddings.float().cpu(), visibility.cpu())
    found = gradient(masked_max, embeddings, visibility)
    again = gradient(masked_max, embeddings, visibility)
    assert torch.equal(found[0].float().cpu(), wanted[0])
    if dtype is torch.float32:
        torch.testing.assert_close(found[1].cpu(), wanted[1])
    assert torch.equal(found[1], again[1])


@pytest.mark.parametrize(
    ("embeddings", "visibility", "text"),
    [
        (torch.zeros(1, 4, 2), torch.zeros(1, 5, 2, dtype=torch.bool), "must be"),
        (torch.zeros(4, 2), torch.zeros(1, 4, 2, dtype=torch.bool), "must be"),
        (torch.zeros(1, 4, 2), torch.zeros(1, 4, 2), "visibility bool"),
        (torch.zeros(1, 4, 2, dtype=torch.int64), torch.zeros(1, 4, 2).bool(), "floating point"),
    ],
)
def test_wrong_input_is_refused(embeddings, visibility, text):
    with pytest.raises(ValueError, match=text):
        masked_max(embeddings, visibility)
