"""Our batched views against torchvision's transforms of the same settings: exactly for a given draw, else in distribution."""

from itertools import permutations

import pytest
import torch
import torchvision.transforms.v2.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare, ks_2samp
from skimage.data import astronaut
from torchvision.transforms import v2

from sslcore import augment
from sslcore.config import Augment

SIZE = 16
NONE = {"crop_min": 1.0, "flip": 0.0, "jitter": 0.0, "hue": 0.0, "grayscale": 0.0, "blur": 0.0, "solarize": 0.0}


def photo(n: int = 1) -> torch.Tensor:
    """uint8 (n, S, S, 3): n times a piece of a photograph with an edge and colours."""
    piece = astronaut()[0:256:16, 130:386:16]
    return torch.from_numpy(piece.copy()).expand(n, -1, -1, -1).contiguous()


def noise(n: int, size: int = SIZE) -> torch.Tensor:
    return torch.randint(0, 256, (n, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


# -- Exactly, for a given draw


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.05, 1.0))
def test_a_crop_is_torchvisions_resized_crop_of_the_same_box(seed, crop_min):
    torch.manual_seed(seed)
    x = augment.to_float(noise(4))
    boxes = augment.random_boxes(4, SIZE, crop_min, x.device)
    rows, columns = augment.bilinear(boxes[0], boxes[2], SIZE), augment.bilinear(boxes[1], boxes[3], SIZE)
    ours = rows[:, None] @ x @ columns[:, None].mT
    for i, (top, left, height, width) in enumerate(torch.stack(boxes, 1).int().tolist()):
        assert 0 <= top <= SIZE - height and 0 <= left <= SIZE - width
        theirs = F.resized_crop(x[i], top, left, height, width, [SIZE, SIZE], antialias=False)
        torch.testing.assert_close(ours[i], theirs, atol=1e-5, rtol=0)


def test_a_full_crop_is_the_image_and_a_flip_its_mirror():
    images = noise(6)
    torch.testing.assert_close(augment.draw(images, Augment(**NONE)), augment.to_float(images))
    flipped = augment.draw(images, Augment(**NONE | {"flip": 1.0}))
    torch.testing.assert_close(flipped, augment.to_float(images).flip(3))


@settings(max_examples=30, deadline=None)
@given(st.floats(-0.5, 0.5))
def test_a_turn_of_the_hue_is_torchvisions(turn):
    levels = torch.tensor([0.0, 0.5, 1.0])
    equal = torch.cartesian_prod(levels, levels, levels).T.view(1, 3, 3, 9)  # black, white, and colours with two equal channels
    for x in (augment.to_float(noise(3)), equal):
        ours = augment.turn_hue(x, torch.full((len(x), 1, 1, 1), turn))
        torch.testing.assert_close(ours, F.adjust_hue(x, turn), atol=2e-5, rtol=0)


@settings(max_examples=40, deadline=None)
@given(st.tuples(*[st.floats(0, 2)] * 3))
def test_blends_are_torchvisions_adjustments_in_each_images_own_order(factors):
    adjust = F.adjust_brightness, F.adjust_contrast, F.adjust_saturation
    x, orders = augment.to_float(noise(6)), torch.tensor(list(permutations(range(3))))
    ours = augment.blend(x, orders, torch.tensor(factors).expand(6, 3))
    for i, order in enumerate(orders.tolist()):
        theirs = x[i]
        for change, factor in zip(order, factors):
            theirs = adjust[change](theirs, factor)
        torch.testing.assert_close(ours[i], theirs, atol=1e-3, rtol=0)  # torchvision's luma has four digits
    assert torch.equal(augment.blend(x, orders, torch.ones(6, 3)), x)


def test_every_image_draws_one_of_the_24_orders_of_its_four_changes(monkeypatch):
    within = augment.within
    fixed = {(0.5, 1.5): lambda *shape, device: torch.tensor([1.5, 1.4, 1.3]).expand(shape), (-0.3, 0.3): within(0.3, 0.3)}
    monkeypatch.setattr(augment, "within", lambda low, high: fixed.get((low, high)) or within(low, high))
    monkeypatch.setattr(augment, "JITTER_PROBABILITY", 1.0)
    image = augment.to_float(photo())
    theirs = []
    for order in permutations([F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue]):
        x, factors = image, iter((1.5, 1.4, 1.3))
        for change in order:
            x = change(x, 0.3 if change is F.adjust_hue else next(factors))
        theirs.append(x.flatten())
    torch.manual_seed(0)
    ours = augment.color_jitter(image.expand(2400, -1, -1, -1), 0.5, 0.3).flatten(1)
    distance = torch.cdist(ours, torch.stack(theirs), p=torch.inf)
    assert float(distance.amin(1).max()) < 1e-3 < float(torch.pdist(torch.stack(theirs), p=torch.inf).min()) / 2
    assert chisquare(distance.argmin(1).bincount(minlength=24)).pvalue > 1e-3


def test_grayscale_and_solarization_are_torchvisions():
    x = augment.to_float(noise(5))
    torch.testing.assert_close(augment.gray(x), F.rgb_to_grayscale(x), atol=1e-4, rtol=0)
    faded = augment.fade(x, torch.tensor([True, False, True, False, False]).view(5, 1, 1, 1))
    torch.testing.assert_close(faded[[0, 2]], augment.gray(x[[0, 2]]).expand(-1, 3, -1, -1))
    assert torch.equal(faded[[1, 3, 4]], x[[1, 3, 4]])
    solarized = augment.draw(noise(5), Augment(**NONE | {"solarize": 1.0}), second=True)
    torch.testing.assert_close(solarized, F.solarize(x, 0.5))
    assert torch.equal(augment.draw(noise(5), Augment(**NONE | {"solarize": 1.0})), x)  # never the first view


@pytest.mark.parametrize("size", [8, 16, 32, 64])
def test_a_blur_is_torchvisions_of_the_same_sigma(size, monkeypatch):
    monkeypatch.setattr(augment, "uniform", lambda x, low, high: torch.full((len(x), 1, 1, 1), 1.3))
    x = augment.to_float(noise(3, size))
    kernel = 2 * max(1, round(size / 20)) + 1
    torch.testing.assert_close(augment.gaussian_blur(x, 1.0), F.gaussian_blur(x, [kernel, kernel], [1.3, 1.3]), atol=1e-5, rtol=0)


# -- In distribution

THEIRS = {
    "crop": ({"crop_min": 0.2}, v2.RandomResizedCrop(SIZE, scale=(0.2, 1.0), antialias=False)),
    "small crops": ({"crop_min": 0.08}, v2.RandomResizedCrop(SIZE, scale=(0.08, 1.0), antialias=False)),
    "jitter": ({"jitter": 0.4}, v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4)], 0.8)),
    "strong jitter with hue": ({"jitter": 0.8, "hue": 0.2}, v2.RandomApply([v2.ColorJitter(0.8, 0.8, 0.8, 0.2)], 0.8)),
    "hue": ({"hue": 0.5}, v2.RandomApply([v2.ColorJitter(hue=0.5)], 0.8)),
    "grayscale": ({"grayscale": 0.2}, v2.RandomGrayscale(0.2)),
    "blur": ({"blur": 0.5}, v2.RandomApply([v2.GaussianBlur(3, (0.1, 2.0))], 0.5)),
    "all": (
        {"crop_min": 0.2, "flip": 0.5, "jitter": 0.4, "hue": 0.1, "grayscale": 0.2},
        v2.Compose(
            [
                v2.RandomResizedCrop(SIZE, scale=(0.2, 1.0), antialias=False),
                v2.RandomHorizontalFlip(0.5),
                v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8),
                v2.RandomGrayscale(0.2),
            ]
        ),
    ),
}


@pytest.mark.parametrize("name", THEIRS)
def test_views_have_the_moments_of_torchvisions(name):
    """Mean, variance and colour covariance of every pixel over many views, within what the sample's size allows."""
    ours_settings, theirs = THEIRS[name]
    torch.manual_seed(0)
    image, n = augment.to_float(photo())[0], 1500
    ours = torch.cat([augment.draw(photo(100), Augment(**NONE | ours_settings)) for _ in range(n // 100)])
    other = torch.stack([theirs(image) for _ in range(n)])
    for moment in (
        lambda x: x,
        lambda x: (x - image) ** 2,
        lambda x: x * x.roll(1, dims=1),  # red with green, green with blue, ...
        lambda x: x * x.roll(3, dims=3),  # with a pixel some way off
    ):
        a, b = moment(ours), moment(other)
        error = (a.var(0) / n + b.var(0) / n).sqrt()
        z = ((a.mean(0) - b.mean(0)) / error.clamp(min=1e-4)).square().mean()
        assert z < 9, f"{name}: the moments differ by {float(z.sqrt()):.1f} standard errors"


def test_the_boxes_have_torchvisions_distribution():
    n, size = 4000, 32
    top, left, height, width = augment.random_boxes(n, size, 0.2, torch.device("cpu"))
    crop, image = v2.RandomResizedCrop(size, scale=(0.2, 1.0)), torch.empty(3, size, size)
    drawn = [crop.make_params([image]) for _ in range(n)]
    theirs = torch.tensor([[box[side] for side in ("top", "left", "height", "width")] for box in drawn])
    ours = torch.stack([top, left, height, width], 1)
    for of in (*(lambda box, side=side: box[:, side] for side in range(4)), lambda box: box[:, 3] / box[:, 2]):
        assert ks_2samp(of(ours), of(theirs)).pvalue > 1e-3


def test_the_smallest_crop_is_a_pixel():
    top, left, height, width = augment.random_boxes(2000, 8, 1e-4, torch.device("cpu"))
    assert height.min() == width.min() == 1
    assert (top + height).max() <= 8 and (left + width).max() <= 8


def test_every_image_draws_its_own_parameters_and_each_call_new_ones():
    views = augment.draw(photo(64), Augment())
    again = augment.draw(photo(64), Augment())
    flat = torch.cat([views, again]).flatten(1)
    assert len(torch.unique(flat, dim=0)) == 128


@pytest.mark.parametrize(
    ("settings", "share"),
    [({"flip": 0.5}, 0.5), ({"grayscale": 0.3}, 0.3), ({"blur": 0.5}, 0.5), ({"solarize": 0.2}, 0.2), ({"jitter": 0.4}, 0.8)],
)
def test_every_image_tosses_its_own_coin(settings, share):
    views = augment.draw(photo(500), Augment(**NONE | settings), second=True)
    moved = int(((views - augment.to_float(photo())).abs().amax((1, 2, 3)) > 1e-4).sum())
    assert binomtest(moved, 500, share).pvalue > 1e-3


def test_the_seed_decides_the_views():
    def drawn():
        torch.manual_seed(3)
        return augment.draw(noise(4), Augment(blur=0.5, solarize=0.5), second=True)

    assert torch.equal(drawn(), drawn())


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 9), st.integers(8, 40), st.floats(0.01, 1), st.floats(0, 1), st.floats(0, 0.5), st.floats(0, 1), st.booleans()
)
def test_views_of_any_settings_stay_within_the_image_range(n, size, crop_min, jitter, hue, share, second):
    settings = Augment(crop_min=crop_min, jitter=jitter, hue=hue, flip=share, grayscale=share, blur=share, solarize=share)
    x = augment.draw(noise(n, size), settings, second)
    assert x.shape == (n, 3, size, size) and x.dtype == torch.float32
    assert -1e-5 <= float(x.min()) and float(x.max()) <= 1 + 1e-5


def test_a_blur_leaves_white_white_and_images_may_lie_in_memory_as_they_like():
    white = torch.full((64, 32, 32, 3), 255, dtype=torch.uint8)
    assert augment.draw(white, Augment(blur=1, jitter=0, hue=0, grayscale=0)).max() <= 1
    images = noise(5)
    drawn = []
    for same in (images, images.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)):
        torch.manual_seed(0)
        drawn.append(augment.draw(same, Augment()))
    assert torch.equal(*drawn)


def test_views_are_normalised_by_the_training_images_statistics():
    images = noise(50)
    mean, std = [0.5] * 3, [0.25] * 3
    x = augment.Views(Augment(), mean, std).plain(images)
    torch.testing.assert_close(x, (augment.to_float(images) - 0.5) / 0.25, check_stride=False)
    assert x.is_contiguous(memory_format=torch.channels_last)
