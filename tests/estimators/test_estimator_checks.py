"""scikit-learn's own checks, those that give an estimator no table of numbers."""

import pytest
from sklearn.utils import estimator_checks

from pointmcd import PartSegmenter, PointCloudClassifier, PointCloudEmbedder

#: The others fit a table [n, d], where these take points [S, N, 3], or files.
CHECKS = (
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_estimators_unfitted",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_valid_tag_types",
)


@pytest.mark.parametrize("estimator", [PartSegmenter, PointCloudClassifier, PointCloudEmbedder])
@pytest.mark.parametrize("name", CHECKS)
def test_it_is_an_estimator_as_scikit_learn_has_them(estimator, name):
    if not hasattr(estimator_checks, name):
        pytest.skip(f"this scikit-learn has no {name}")
    getattr(estimator_checks, name)(estimator.__name__, estimator())
