import numpy as np
import pytest
import torch

from pointmcd.ops.moments import mean_and_covariance


@pytest.mark.parametrize("count", [1, 2, 50, 5000])  # 5000: more than one chunk
def test_moments_are_those_of_numpy(count):
    rows = torch.randn(count, 4, dtype=torch.float64) * 3 + 5
    mean, covariance = mean_and_covariance(rows)
    np.testing.assert_allclose(mean.numpy(), rows.numpy().mean(axis=0))
    wanted = np.cov(rows.numpy(), rowvar=False, bias=True)
    np.testing.assert_allclose(covariance.numpy(), wanted, atol=1e-12)


def test_gradients_are_those_of_finite_differences():
    rows = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(mean_and_covariance, (rows,))


def test_a_far_mean_does_not_drown_the_covariance():
    rows = torch.randn(3000, 3)
    wanted = mean_and_covariance(rows)[1]
    torch.testing.assert_close(mean_and_covariance(rows + 1000)[1], wanted, rtol=1e-3, atol=1e-3)


def test_equal_rows_have_no_covariance():
    covariance = mean_and_covariance(torch.full((100, 3), 0.5))[1]
    assert torch.equal(covariance, torch.zeros(3, 3))
