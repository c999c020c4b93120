"""Settings: presets, files, overrides, and what is said of a mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from pseudohealthy.config import MethodName, Preprocessing, PresetName, Settings, preprocessing, settings
from pseudohealthy.errors import InputError
from pseudohealthy.presets import OF_METHODS, PREPROCESSING, PRESETS
from pseudohealthy.settings_files import read_yaml, validated


@pytest.mark.parametrize(
    ("method", "cycle", "gan_image", "third"),
    [("paired", 10, 1, "segmentation"), ("unpaired", 10, 2, "gan_mask")],
)
def test_the_papers_preset_weighs_the_losses_as_the_paper_does(
    method: MethodName, cycle: float, gan_image: float, third: str
) -> None:
    losses = settings(method, "midl2019").losses
    assert (losses.cycle, losses.gan_image, getattr(losses, third)) == (cycle, gan_image, 10)
    assert (losses.identity_outside_lesion, losses.dice) == (0, "plain")


def test_the_papers_preset_trains_as_section_3_says() -> None:
    training = settings(preset="midl2019").training
    assert (training.learning_rate, training.betas, training.schedule) == (1e-4, (0.5, 0.999), "constant")
    assert (training.batch_size, training.images, training.epochs) == (4, None, 300)
    assert (training.fake_pool_size, training.augment, training.healthy_sampling) == (50, "none", "random")


def test_the_papers_networks_are_those_of_its_tables() -> None:
    networks = settings(preset="midl2019").networks
    assert (networks.width, networks.discriminator_width) == (32, 32)
    assert (networks.norm, networks.output_mode, networks.segmentor_residual) == ("instance", "image", "add")


def test_the_papers_preprocessing_is_that_of_section_5() -> None:
    paper = preprocessing("midl2019")
    assert (paper.slice_shape, paper.spacing, paper.clip_percentile) == ((208, 160), 1, 99.5)
    assert (paper.clip_region, paper.crop_centre, paper.slice_selection) == ("all", "image", "middle60")


def test_the_default_preset_differs_where_its_documents_say() -> None:
    paper, ours = settings(preset="midl2019").model_dump(), settings(preset="default").model_dump()
    differences = {
        f"{group}.{key}": value
        for group in ("networks", "losses", "training")
        for key, value in ours[group].items()
        if value != paper[group][key]
    }
    assert differences == {
        "networks.output_mode": "gated",
        "networks.reconstructor_output_mode": "residual",
        "networks.discriminator_activation": "linear",
        "losses.identity_outside_lesion": 2,
        "losses.synthetic_supervision": 10,
        "losses.residual_lesion": 5,
        "losses.healthy_identity": 10,
        "losses.cycle_noise": 0.02,
        "training.augment": "flip_gamma",
        "training.schedule": "linear",
        "training.learning_rate": 5e-4,
        "training.healthy_sampling": "height",
        "training.fake_pool_size": 0,
        "training.ema": 0.99,
    }
    assert settings("unpaired").losses.gan_mask == 1
    chosen = preprocessing("default")
    assert (chosen.clip_region, chosen.crop_centre, chosen.slice_selection) == ("brain", "brain", "half_area")


def test_a_judge_weighs_its_only_loss_by_one() -> None:
    assert settings("judge").losses.segmentation == 1


@pytest.mark.parametrize("preset", get_args(PresetName))
def test_cyclegan_is_that_of_zhu_2017_in_every_preset(preset: PresetName) -> None:
    chosen = settings("cyclegan", preset)
    training, losses = chosen.training, chosen.losses
    assert (training.learning_rate, training.schedule, training.fake_pool_size) == (2e-4, "linear", 50)
    assert (training.betas, training.discriminator_steps, training.discriminator_steps_later) == (
        (0.5, 0.999),
        1,
        None,
    )
    assert (losses.cycle, losses.adversarial, losses.cyclegan_identity) == (10, "least_squares", 0)
    assert losses.gan_image / 2 == 1  # of the whole (D - 1)^2, where the paper's has a half


def test_the_journal_versions_preset_is_that_of_section_3() -> None:
    chosen = settings("paired", "media2020")
    losses, training = chosen.losses, chosen.training
    assert (chosen.networks.long_skips, chosen.networks.discriminator_activation) == (True, "linear")
    assert (losses.adversarial, losses.gradient_penalty, losses.segmentation) == ("wasserstein", 10, 10)
    assert [losses.gan_image * part for part in losses.gan_parts] == [2, 1]  # G(x_p), R(x_h, 0)
    assert [losses.cycle * part for part in losses.cycle_parts] == [20, 10, 10]  # P, H image, H mask
    assert (training.learning_rate, training.batch_size, training.epochs) == (1e-5, 4, 300)
    assert (
        training.discriminator_steps,
        training.discriminator_steps_later,
        training.discriminator_epoch,
    ) == (10, 5, 25)
    assert settings("unpaired", "media2020").losses.gan_mask == 1


def test_every_method_and_preset_has_its_place() -> None:
    assert set(OF_METHODS) <= set(get_args(MethodName))
    assert set(PRESETS) == set(PREPROCESSING) == set(get_args(PresetName))
    for method in get_args(MethodName):
        for preset in get_args(PresetName):
            assert (settings(method, preset).method, settings(method, preset).preset) == (method, preset)


def test_the_program_offers_every_method_and_preset() -> None:
    from pseudohealthy.cli import options

    offered = get_args(get_args(options.MethodOption)[0])[0]
    assert (get_args(offered), get_args(options.Preset)) == (get_args(MethodName), get_args(PresetName))
    assert all(f"`{name}`: " in options.METHOD_HELP for name in get_args(MethodName))


def test_semi_supervised_training_weighs_both_kinds_of_masks_alike() -> None:
    losses = settings("semi_supervised", "midl2019").losses
    assert (losses.gan_image, losses.segmentation, losses.gan_mask) == (2, 10, 10)


def test_settings_of_an_older_version_are_still_read_and_mean_what_they_meant() -> None:
    results = Path(__file__).resolve().parents[1] / "results"
    old = read_yaml(results / "lgg_first_run/training/paired_settings.yaml")["settings"]
    assert not {"discriminator_steps", "minutes", "snapshot_every"} & set(old["training"])
    read = validated(Settings, old)
    assert (read.networks.long_skips, read.networks.discriminator_activation, read.losses.adversarial) == (
        False,
        "sigmoid",
        "least_squares",
    )
    assert (read.training.discriminator_steps, read.training.labelled_fraction, read.training.minutes) == (
        1,
        1,
        None,
    )


def test_a_wasserstein_discriminator_must_be_unbounded() -> None:
    with pytest.raises(InputError) as failure:
        settings(preset="midl2019", overrides=["losses.adversarial=wasserstein"])
    assert str(failure.value).startswith(
        "settings: losses.adversarial=wasserstein needs networks.discriminator_activation=linear"
    )


def test_synthetic_lesions_need_room_in_the_batch() -> None:
    with pytest.raises(InputError) as failure:
        settings(overrides=["training.batch_size=1"])
    assert "training.synthetic_fraction=0.5 of training.batch_size=1 is none" in str(failure.value)
    assert settings("judge", overrides=["training.batch_size=1"]).training.batch_size == 1


def test_lesions_are_not_transplanted_in_unpaired_training() -> None:
    with pytest.raises(InputError) as failure:
        settings("unpaired", overrides=["training.transplanted_fraction=0.5"])
    assert "training.transplanted_fraction needs images with their own masks" in str(failure.value)
    for method in ("paired", "semi_supervised", "judge"):
        assert settings(method, overrides=["training.transplanted_fraction=0.5"])
    with pytest.raises(InputError, match=r"transplanted_fraction=0\.5 needs losses\.synthetic_supervision"):
        settings("paired", "midl2019", overrides=["training.transplanted_fraction=0.5"])


@pytest.mark.parametrize("override", ["training.warm_up_images=8", "training.warm_up_fraction=0.2"])
def test_a_warm_up_needs_synthetic_lesions_and_is_nothing_to_other_methods(override: str) -> None:
    with pytest.raises(InputError) as failure:
        settings("unpaired", "midl2019", overrides=[override])
    assert f"{override} needs losses.synthetic_supervision above 0" in str(failure.value)
    for method in ("conditional_gan", "cyclegan", "inpainter", "judge"):
        settings(method, "midl2019", overrides=[override])
    settings("unpaired", "midl2019", overrides=[override, "losses.synthetic_supervision=1"])


def test_a_warm_up_cannot_be_the_whole_of_a_run() -> None:
    with pytest.raises(InputError, match=r"training\.warm_up_fraction is 1"):
        settings(overrides=["training.warm_up_fraction=1"])


@pytest.mark.parametrize("name", ["gradient", "lesion_crop_adversarial"])
def test_a_loss_on_synthetic_lesions_needs_those_lesions(name: str) -> None:
    with pytest.raises(InputError) as failure:
        settings("paired", "midl2019", overrides=[f"losses.{name}=0.5"])
    assert f"losses.{name}=0.5 needs losses.synthetic_supervision above 0" in str(failure.value)
    assert getattr(settings("cyclegan", "midl2019", overrides=[f"losses.{name}=0.5"]).losses, name) == 0.5
    assert getattr(settings("paired", overrides=[f"losses.{name}=0.5"]).losses, name) == 0.5


def test_a_file_goes_before_a_preset_and_an_override_before_a_file() -> None:
    values = {"training": {"images": 100, "augment": "none"}, "losses": {"gan_image": 7}}
    chosen = settings("unpaired", "default", values, ["training.images=200", "networks.norm=layer"])
    assert (chosen.training.images, chosen.training.augment) == (200, "none")
    assert chosen.training.schedule == "linear"
    assert (chosen.losses.gan_image, chosen.networks.norm) == (7, "layer")


def test_method_and_preset_are_the_files_unless_they_are_named() -> None:
    values = {"method": "unpaired", "preset": "midl2019"}
    of_file = settings(values=values)
    assert (of_file.method, of_file.preset, of_file.losses.gan_image) == ("unpaired", "midl2019", 2)
    assert of_file.training.augment == "none"
    named = settings("paired", "default", values)
    assert (named.method, named.preset, named.training.augment) == ("paired", "default", "flip_gamma")
    assert settings().method == "paired"


def test_settings_written_out_and_read_back_are_the_same() -> None:
    chosen = settings("unpaired", "default", overrides=["training.images=null", "losses.dice=squared"])
    assert settings(values=chosen.model_dump(mode="json")) == chosen
    grown = preprocessing(overrides=["slice_shape=[224, 176]"])
    assert preprocessing("midl2019", grown.model_dump(mode="json")) == grown


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"trainin": {"images": 4}}, "trainin is not a setting; did you mean training?"),
        ({"training": {"imagess": 4}}, "training.imagess is not a setting; did you mean images?"),
        ({"networks": {"width_of_S": 4}}, "networks.width_of_S is not a setting; did you mean width?"),
        ({"losses": {"zzz": 1}}, "losses.zzz is not a setting; known here: cycle, cycle_parts, gan_image,"),
        ({"training": {"images": -1}}, "training.images is -1: Input should be greater than 0"),
        ({"training": {"betas": [0.5]}}, "training.betas.1 is "),
        ({"training": {"betas": [0.5, 1.0]}}, "training.betas.1 is 1.0: Input should be less than 1"),
        ({"training": {"learning_rate": float("nan")}}, "training.learning_rate is nan"),
        ({"training": None}, "training is None: "),
        ({"training": 5}, "training is 5: "),
        ({"method": "pared"}, "method is 'pared': Input should be 'conditional_gan', 'cyclegan', "),
        ({"method": ["paired"]}, "method is ['paired']: "),
        ({"preset": {}}, "preset is {}: "),
        ({"networks": {"norm": "batch"}}, "networks.norm is 'batch': "),
        ({1: 2}, "Keys should be strings"),
    ],
)
def test_a_mistake_is_named_by_its_full_path(values: dict[Any, Any], message: str) -> None:
    with pytest.raises(InputError) as failure:
        settings(values=values)
    assert message in str(failure.value)
    assert "\n" not in str(failure.value)


def test_every_mistake_is_named_at_once() -> None:
    with pytest.raises(InputError, match=r"networks\.widht .*; training\.images .*; training\.poool "):
        settings(values={"networks": {"widht": 3}, "training": {"images": 0, "poool": 3}})


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("slice_shap=[64, 48]", "slice_shap is not a setting; did you mean slice_shape?"),
        ("slice_shape=64", "slice_shape is 64: "),
        ("slice_shape=[64]", "slice_shape.1 is "),
        ("spacing=0", "spacing is 0: "),
        ("clip_percentile=50", "clip_percentile is 50: "),
    ],
)
def test_a_mistake_in_preprocessing_is_named_too(override: str, message: str) -> None:
    with pytest.raises(InputError) as failure:
        preprocessing(overrides=[override])
    assert message in str(failure.value)


@pytest.mark.parametrize("field", [(208, 161), (200, 160), (16, 48), (0, 32), (-32, 32)])
def test_a_field_that_the_networks_cannot_halve_is_refused(field: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="multiples of 16, 32 or more"):
        preprocessing(values={"slice_shape": field})


def test_values_that_are_no_mapping_are_refused() -> None:
    with pytest.raises(InputError, match=r"^here: values is None: "):
        validated(Preprocessing, None, "here")


def test_settings_cannot_be_changed() -> None:
    chosen = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        chosen.training.images = 3  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        chosen.method = "judge"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("override", "limit"),
    [
        ("training.seed=1e30", "seed"),
        ("training.seed=4294967296", "less than or equal to 4294967295"),
        ("training.learning_rate=1e300", "less than or equal to 1"),
        ("training.batch_size=1000000000", "less than or equal to 4096"),
        ("training.images=10000000000", "less than or equal to 1000000000"),
        ("training.epochs=1000000000", "less than or equal to 1000000"),
        ("training.minutes=1e9", "less than or equal to 525600"),
        ("training.fake_pool_size=1000000000", "less than or equal to 10000"),
        ("training.discriminator_steps=1000000000", "less than or equal to 100"),
        ("networks.width=8192", "less than or equal to 512"),
        ("networks.segmentor_width=8192", "less than or equal to 512"),
        ("networks.discriminator_width=8192", "less than or equal to 512"),
        ("losses.cycle=1e300", "less than or equal to 1000000"),
        ("losses.cycle_parts=[1, 1e300, 1]", "less than or equal to 1000000"),
        ("losses.cycle_noise=2", "less than or equal to 1"),
    ],
)
def test_a_value_beyond_reason_is_refused_with_its_limit(override: str, limit: str) -> None:
    with pytest.raises(InputError) as failure:
        settings(overrides=[override])
    assert f"settings: {override.partition('=')[0]}" in str(failure.value)
    assert limit in str(failure.value)


@pytest.mark.parametrize(
    ("override", "limit"),
    [
        ("slice_shape=[16000, 16000]", "1024 at most"),
        ("spacing=0.01", "greater than or equal to 0.1"),
        ("spacing=1e9", "less than or equal to 10"),
    ],
)
def test_slices_beyond_reason_are_refused_with_their_limit(override: str, limit: str) -> None:
    with pytest.raises(InputError, match=limit):
        preprocessing(overrides=[override])
