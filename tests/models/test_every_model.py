"""What every model must do, whatever it is; a new model is one more line in CASES."""

import pytest
import torch
import torch.nn.functional as F

from segnet import MODELS, SegnetError, create_model
from segnet.models.compact import WIDTHS
from segnet.models.inspection.costs import count_macs, count_parameters

# name: (options that make it small enough for a test, parameters as shipped)
CASES = {
    "segnet": ({"stages": 2}, 15_274_892),
    "segnet-basic": ({"channels": 8}, 1_415_561),
    "segnet-dsc": ({"stages": 2}, 1_749_671),
    "segnet-nano": ({"stages": [[48, 1], [48, 2]], "bottleneck": [48, 2, 3]}, 87_714),
    "segnet-lite": ({"stages": [[8, 1], [16, 2]], "bottleneck": [16, 2, 3]}, 737_938),
    "segnet-plus": ({"stages": [[8, 1], [8, 2]], "bottleneck": [8, 2, 3]}, 2_825_490),
    "segnet-efficient": ({"width": 0.25}, 3_122_284),
    "segnet-vgg16": ({"width": 4}, 29_436_809),
    "fcn": ({"width": 4, "head": 16, "dropout": 0.0}, 134_290_159),
    "unet": ({"width": 4}, 31_037_769),
    "vit": ({"image_size": 32, "patch": 8, "width": 32, "depth": 2, "dropout": 0.0}, 86_284_806),
}


def allowed(name, *size):
    """The nearest size that a model takes: some need more pixels, the Vision Transformer whole patches."""
    model = small(name)
    multiple = getattr(model, "size_multiple", 1)
    return tuple(max(side, model.minimum_size) // multiple * multiple for side in size)


def small(name, **options):
    torch.manual_seed(0)
    return create_model(name, **(CASES[name][0] | options))


def test_every_model_has_a_case():
    assert set(CASES) == set(MODELS)


@pytest.mark.parametrize("name", CASES)
class TestEveryModel:
    def test_ships_with_the_documented_parameters(self, name):
        with torch.device("meta"):
            model = create_model(name)
        assert count_parameters(model) == CASES[name][1]

    @pytest.mark.parametrize("size", [(16, 16), (17, 31), (64, 48), (33, 16)])
    def test_gives_logits_of_the_images_own_size(self, name, size):
        size = allowed(name, *size)
        with torch.no_grad():
            assert small(name).eval()(torch.rand(1, 3, *size)).shape == (1, 3, *size)

    def test_as_shipped_it_takes_the_articles_images_and_its_own_smallest(self, name):
        model = create_model(name).eval()
        for size in [(128, 128), (model.minimum_size,) * 2]:
            with torch.no_grad():
                assert model(torch.rand(1, 3, *size)).shape == (1, 3, *size)

    @pytest.mark.parametrize(("classes", "channels"), [(1, 1), (2, 4), (11, 3)])
    def test_takes_any_number_of_classes_and_input_channels(self, name, classes, channels):
        model = small(name, num_classes=classes, in_channels=channels)
        assert model(torch.rand(2, channels, 32, 32)).shape == (2, classes, 32, 32)

    def test_gradients_reach_every_parameter(self, name):
        model = small(name)
        model(torch.rand(4, 3, 32, 32)).square().sum().backward()
        dead = [key for key, value in model.named_parameters() if value.grad is None or not value.grad.any()]
        assert not dead

    def test_no_two_layers_share_weights(self, name):
        model = create_model(name)
        tensors = [tensor for _, tensor in model.named_parameters(remove_duplicate=False)]
        assert len({tensor.data_ptr() for tensor in tensors}) == len(tensors)

    def test_learns_one_batch_by_heart(self, name):
        model = small(name)
        images = F.interpolate(torch.rand(4, 3, 4, 4), (32, 32), mode="bilinear")
        masks = (images.mean(1) > 0.5).long()
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        for _ in range(60):
            logits = model(images)
            if (logits.argmax(1) == masks).float().mean() > 0.95:
                break  # it has learnt them; the rest of its steps would show nothing more
            loss = F.cross_entropy(logits, masks)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert (model(images).argmax(1) == masks).float().mean() > 0.9

    def test_one_image_gets_the_same_logits_alone_and_in_a_batch(self, name):
        model = small(name).eval()
        images = torch.rand(3, 3, *allowed(name, 33, 20))
        with torch.no_grad():
            torch.testing.assert_close(model(images)[1:2], model(images[1:2]), rtol=1e-4, atol=1e-5)

    def test_runs_where_only_deterministic_operations_may_with_the_same_bits_twice(self, name):
        gradients = []
        height, width = allowed(name, 37, 42)
        torch.use_deterministic_algorithms(True)
        try:
            for _ in range(2):
                model = small(name)
                image = torch.linspace(0, 1, 2 * 3 * height * width).view(2, 3, height, width)
                model(image).square().sum().backward()
                gradients.append([parameter.grad for parameter in model.parameters()])
        finally:
            torch.use_deterministic_algorithms(False)
        assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))

    def test_trains_in_bfloat16(self, name):
        model = small(name)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(torch.rand(2, 3, 32, 32))
        logits.float().square().mean().backward()
        assert all(parameter.grad.isfinite().all() for parameter in model.parameters())

    def test_saves_and_loads(self, name):
        model, other = small(name), small(name)
        torch.nn.init.normal_(next(model.parameters()))
        other.load_state_dict(model.state_dict())
        image = torch.rand(1, 3, 32, 32)
        with torch.no_grad():
            assert torch.equal(model.eval()(image), other.eval()(image))


# Of every kind one: positions alone, features and padding, attention.
COMPILED = ("segnet", "segnet-lite", "vit")


@pytest.mark.parametrize(
    "name",
    [name if name in COMPILED else pytest.param(name, marks=pytest.mark.campaign) for name in CASES],
)
def test_compiles_as_one_graph(name):
    model = small(name).eval()
    image = torch.rand(2, 3, *allowed(name, 20, 33))
    with torch.no_grad():
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(image), model(image), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "most"), [("segnet-nano", 120_000), ("segnet-lite", 1_100_000), ("segnet-plus", 4_000_000)]
)
def test_the_compact_family_keeps_within_its_budget(name, most):
    model = create_model(name)
    assert count_parameters(model) <= most
    assert count_macs(model) <= 250 * most


@pytest.mark.parametrize("name", ["segnet-nano", "segnet-lite", "segnet-plus"])
def test_one_dial_makes_the_compact_family_in_channels_that_runtimes_like(name):
    model = create_model(name)
    same = create_model("segnet-lite", width=WIDTHS[name])
    assert [each.shape for each in model.parameters()] == [each.shape for each in same.parameters()]
    widths = {module.num_features for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)}
    assert not any(width % 16 for width in widths - {3})


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("segnte", {}, "did you mean 'segnet'"),
        ("segnet", {"stage": 3}, "did you mean 'stages'"),
        ("segnet", {"num_classes": 0}, "at least one class"),
        ("segnet-dsc", {"ordinary_stages": 5}, "0 to 4 ordinary stages"),
        ("segnet-lite", {"stages": [[8]]}, r"\(channels, units\) pairs"),
        ("segnet-lite", {"bottleneck": [8, 2, 4]}, "an odd kernel"),
        ("segnet-lite", {"features": 1}, "takes features as true or false, got 1"),
        ("segnet-lite", {"width": 0.1}, "a width from 0.25 to 4, got 0.1"),
        ("segnet-lite", {"stride": 4}, "a stride of 1 or 2, got 4"),
        ("segnet", {"stages": -1}, "1 to 5 stages, got -1"),
        ("segnet", {"stages": "four"}, "segnet takes stages as a whole number, got 'four'"),
        ("segnet", {"stages": True}, "a whole number, got True"),
        ("vit", {"depth": 2.5}, "vit takes depth as a whole number, got 2.5"),
        ("segnet-basic", {"dropout": "half"}, "takes dropout as a number, got 'half'"),
        ("segnet-vgg16", {"dropout": 1}, "a dropout from 0 to below 1, got 64 and 1"),
        ("fcn", {"head": 0}, "a width and a head of at least 1"),
        ("unet", {"width": 0}, "a width of at least 1, got 0"),
        ("vit", {"image_size": 100}, "an image_size of 100 can't be cut into patches of 16x16"),
        ("vit", {"heads": 7}, "a width of 768 can't be shared by 7 heads"),
        ("vit", {"depth": 0}, "at least 1"),
    ],
)
def test_a_model_that_cannot_be_built_says_what_would_work(name, options, says):
    with pytest.raises(SegnetError, match=says):
        create_model(name, **options)
