from __future__ import annotations

import numpy as np
import pytest
from skimage.color import rgb2lab

from napari_samnet.datasets import metrics
from napari_samnet.errors import InputError


def test_pck_counts_points_within_the_tolerance_inclusive():
    truth = np.zeros((4, 2))
    estimate = np.array([[0, 0], [0, 10], [0, 10.01], [6, 8]])
    assert metrics.pck(estimate, truth, 100, 0.1) == 0.75
    assert metrics.pck(estimate, truth, 50, 0.1) == 0.25


def test_pck_takes_points_that_are_not_finite_as_wrong():
    truth = np.zeros((2, 2))
    estimate = np.array([[np.nan, 0], [0, 0]])
    assert metrics.pck(estimate, truth, 1, 0.1) == 0.5


def test_pck_needs_points():
    with pytest.raises(InputError, match='at least one'):
        metrics.pck(np.zeros((0, 2)), np.zeros((0, 2)), 1, 0.1)


def test_box_side_is_the_longer_extent():
    assert metrics.box_side(np.array([[5, 10], [9, 30], [7, 20]])) == 20


def test_relative_tre_is_the_median_over_the_diagonal():
    truth = np.zeros((3, 2))
    estimate = np.array([[0, 5], [0, 10], [0, 500]])
    assert metrics.relative_tre(estimate, truth, (30, 40)) == 10 / 50


def test_iou():
    first = np.array([[1, 1, 0, 0]], bool)
    second = np.array([[0, 1, 1, 0]], bool)
    assert metrics.iou(first, second) == pytest.approx(1 / 3)
    assert metrics.iou(first, first) == 1
    assert metrics.iou(first & ~first, second & ~second) == 1


def test_mean_iou_averages_the_labels_of_the_truth():
    truth = np.array([0, 0, 1, 1])
    estimate = np.array([0, 0, 1, 7])
    assert metrics.mean_iou(estimate, truth) == pytest.approx((1 + 0.5) / 2)


def test_label_accuracy_counts_all_pixels():
    assert (
        metrics.label_accuracy(np.array([1, 2, 3, 0]), np.array([1, 2, 0, 0]))
        == 0.75
    )


def test_flow_accuracy_looks_at_valid_pixels_alone():
    truth = np.zeros((1, 4, 2))
    estimate = np.zeros((1, 4, 2))
    estimate[0, :, 1] = [0, 5, 5.1, 100]
    valid = np.array([[True, True, True, False]])
    assert metrics.flow_accuracy(estimate, truth, valid, 5) == pytest.approx(
        2 / 3
    )
    assert np.isnan(metrics.flow_accuracy(estimate, truth, ~valid & valid, 5))


def test_psnr_of_a_known_error():
    truth = np.full((8, 8, 3), 0.5)
    valid = np.ones((8, 8), bool)
    assert metrics.psnr(truth + 0.1, truth, valid) == pytest.approx(20)
    assert metrics.psnr(truth, truth, valid) == 100
    estimate = truth.copy()
    estimate[0] = 1
    valid[0] = False
    assert metrics.psnr(estimate, truth, valid) == 100


def test_ssim_is_one_for_equal_images_and_less_for_others(photograph):
    image = photograph / 255
    valid = np.ones(image.shape[:2], bool)
    assert metrics.ssim(image, image, valid) == pytest.approx(1)
    assert metrics.ssim(image, image[::-1], valid) < 0.5


def test_delta_e_follows_lightness():
    darker = np.full((4, 4, 3), 0.40)
    lighter = np.full((4, 4, 3), 0.42)
    valid = np.ones((4, 4), bool)
    apart = rgb2lab(lighter)[0, 0, 0] - rgb2lab(darker)[0, 0, 0]
    assert metrics.delta_e(darker, lighter, valid) == pytest.approx(
        apart, rel=0.2
    )
    assert metrics.delta_e(darker, darker, valid) == 0


def test_edge_ssim_sees_structure_and_not_color(photograph):
    image = photograph / 255
    valid = np.ones(image.shape[:2], bool)
    recolored = 0.1 + 0.8 * image
    other = np.roll(image, 7, axis=1)
    same = metrics.edge_ssim(recolored, image, valid)
    assert same > 0.9
    assert metrics.edge_ssim(other, image, valid) < same - 0.2
