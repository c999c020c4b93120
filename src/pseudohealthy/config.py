"""Every setting, once: frozen models that refuse a misspelt key, the presets, and files of settings.

Sections named in the docstrings are those of the project's method specification (`docs/method.md`).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pseudohealthy.catalogue import methods
from pseudohealthy.errors import InputError
from pseudohealthy.renamed import gone, new_name

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

MethodName = methods.MethodName
PresetName = Literal["midl2019", "media2020", "default"]
Decay = Annotated[float, Field(ge=0, lt=1)]
Factor = Annotated[float, Field(ge=0)]


class Frozen(BaseModel):
    """A group of settings: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


T = TypeVar("T", bound=Frozen)


class Preprocessing(Frozen):
    """From a volume to slices (section 5).

    Attributes:
        slice_shape: rows and columns of a slice, in pixels; multiples of 16 (the segmentor halves four
            times).
        spacing: in-plane pixel size in mm; slices keep their thickness.
        clip_region: which voxels the ceiling's percentile is taken over.
        clip_percentile: intensities above this percentile are clipped to it (V99.5).
        crop_centre: what the crop is laid around: the image's centre, or the brain's bounding box.
        slice_selection: the middle 60 of a 1 mm volume, or every slice with at least half of the volume's
            largest brain area (for thick slices).
    """

    slice_shape: tuple[int, int] = (208, 160)
    spacing: float = Field(1.0, gt=0)
    clip_region: Literal["all", "brain"] = "all"
    clip_percentile: float = Field(99.5, gt=50, le=100)
    crop_centre: Literal["image", "brain"] = "image"
    slice_selection: Literal["middle60", "half_area"] = "middle60"

    @model_validator(mode="after")
    def _slice_shape_fits_the_networks(self) -> Self:
        if any(side < 32 or side % 16 for side in self.slice_shape):
            raise ValueError(
                f"slice_shape is {self.slice_shape}, but rows and columns must be multiples of 16, 32 or more"
            )
        return self


class Networks(Frozen):
    """Widths and flavours of the networks (section 1).

    Attributes:
        width: channels after the first convolution of G and R (Table 2: 32).
        segmentor_width: channels of S's first level.
        discriminator_width: channels after D's first convolution (Table 4: 32).
        norm: per channel, or over all axes as in the authors' later code.
        output_mode: G and R paint the whole image (Table 2), or what changes in their input, `x + delta`, or
            an image and a gate that says where it takes the input's place.
        segmentor_residual: how a level of S adds its input to its output.
        long_skips: G and R see their encoder's features again in the decoder, as in the journal version; the
            paper has none, since they let the lesion through.
        discriminator_activation: the last activation of the discriminators: bounded (Table 4), or none.
        mirrored_input: G (and CycleGAN's F) sees beside its input the same slice mirrored about the midline
            of its brain, where the other hemisphere shows what may be under a lesion; not in the paper.
    """

    width: int = Field(32, ge=4)
    segmentor_width: int = Field(32, ge=4)
    discriminator_width: int = Field(32, ge=4)
    norm: Literal["instance", "layer"] = "instance"
    output_mode: Literal["image", "residual", "gated"] = "image"
    segmentor_residual: Literal["add", "concatenate"] = "add"
    long_skips: bool = False
    discriminator_activation: Literal["sigmoid", "linear"] = "sigmoid"
    mirrored_input: bool = False


class Losses(Frozen):
    """Weights and forms of the losses (section 3).

    Attributes:
        cycle: lambda_1, of L_CC.
        cycle_parts: factors on the parts of L_CC in the two cycles of G, S and R: the image of P-H, the image
            of H-H, the mask of H-H.
        gan_image: lambda_2, of L_GAN1.
        gan_parts: factors on the parts of L_GAN1 in the same two cycles: G(x_p), R(x_h, 0).
        segmentation: lambda_3, of L_Seg (where an image has its own mask).
        gan_mask: lambda_3, of L_GAN2 (where it has none).
        adversarial: least squares (Mao 2017), or Wasserstein with a gradient penalty (Gulrajani 2017).
        gradient_penalty: its weight.
        cyclegan_identity: of `|G(x_h) - x_h| + |F(x_p) - x_p|` (CycleGAN; Zhu 2017 has 5 for paintings).
        segmentation_cross_entropy: of the cross-entropy of S(x_p) and m_p beside L_Seg (judge).
        healthy_identity: of `|G(x_k) - x_k| - log(1 - S(x_k))` (paired, unpaired, semi-supervised), where x_k
            are slices without a lesion from all over the brain: they are to stay as they are; not in the
                paper.
        healthy_negatives: of `-log(1 - S(x_k))` (judge), where of three x_k two are healthy and one is from
            the brain's edges. 0: a judge that has seen lesions only, and so looks for one in every slice.
        identity_outside_lesion: of `|(1 - m_p) (G(x_p) - x_p)|` (where x_p has its own mask), what the
            measure of identity asks for, as a loss; not in the paper.
        synthetic_supervision: of `|G(x_p) - x_h|`, over the image and again inside the lesion, where x_p is a
            healthy slice x_h with a synthetic lesion; not in the paper. 0: no lesions are inserted.
        gradient: of the difference between the gradients of G(x_p) and x_h inside that lesion, which asks for
            the tissue's texture; not in the paper.
        lesion_crop_adversarial: of an adversarial loss (hinge) on squares of 64 pixels round that lesion,
            where a discriminator D_l tells G(x_p) from x_h; not in the paper. 0: there is no D_l.
        residual_lesion: of `-log(1 - S(G(x_p)))`, S held still: S is to find nothing in G's image; not in the
            paper.
        cycle_noise: standard deviation of noise on x~_h before R, which breaks the channel through which G
            could tell R what it has taken away; not in the paper.
        dice: denominators as they are, or squared (Milletari 2016).
        mask_discriminator_input: what D_m is shown of S's output: the soft mask, the soft mask and real masks
            under the same small noise, or a binary mask whose gradient passes straight through.
    """

    cycle: float = Field(10.0, ge=0)
    cycle_parts: tuple[Factor, Factor, Factor] = (1.0, 1.0, 1.0)
    gan_image: float = Field(1.0, ge=0)
    gan_parts: tuple[Factor, Factor] = (1.0, 1.0)
    segmentation: float = Field(10.0, ge=0)
    gan_mask: float = Field(10.0, ge=0)
    adversarial: Literal["least_squares", "wasserstein"] = "least_squares"
    gradient_penalty: float = Field(10.0, ge=0)
    cyclegan_identity: float = Field(0.0, ge=0)
    segmentation_cross_entropy: float = Field(0.0, ge=0)
    healthy_identity: float = Field(0.0, ge=0)
    healthy_negatives: float = Field(0.0, ge=0)
    identity_outside_lesion: float = Field(0.0, ge=0)
    synthetic_supervision: float = Field(0.0, ge=0)
    gradient: float = Field(0.0, ge=0)
    lesion_crop_adversarial: float = Field(0.0, ge=0)
    residual_lesion: float = Field(0.0, ge=0)
    cycle_noise: float = Field(0.0, ge=0)
    dice: Literal["plain", "squared"] = "plain"
    mask_discriminator_input: Literal["soft", "noise", "straight_through"] = "soft"


class Training(Frozen):
    """How long and how a method is trained (section 3).

    Attributes:
        images: pathological images to see, a share `synthetic_fraction` of them with a synthetic lesion where
            `losses.synthetic_supervision` is above 0; None: `epochs` passes over the pathological slices.
        epochs: used where `images` is None.
        minutes: of training, interruptions not counted; where given, they decide instead of `images`.
        warm_up_images: synthetic images that G sees before the two cycles, in a warm-up: G learns from them
            alone and S from masks and slices without a lesion, and nothing else learns but D_l, where there
            is one; counted apart from `images`. The learning rate is constant meanwhile; its schedule begins
            after it. Methods without S, which have nothing to learn alone, and the judge have no warm-up.
        warm_up_fraction: share of `minutes` that the warm-up takes; where `minutes` decide, it does instead
            of `warm_up_images`.
        batch_size: pathological images a step over all processes, and as many healthy ones.
        learning_rate: Adam's, at the start.
        betas: Adam's.
        schedule: constant, or falling linearly to 0 over the second half.
        fake_pool_size: past fakes the discriminators are shown from; 0: only the newest.
        discriminator_steps: steps of each discriminator for one of the generators, each on a batch of its
            own.
        discriminator_steps_later: the same from `discriminator_epoch` on; None: no change.
        discriminator_epoch: passes over the pathological slices until then.
        ema: decay per step of the averaged weights.
        augment: none, or left-right flips of image and mask alike, and gamma of the image; `deform` also
            turns, scales, moves and bends both, and shades the image and puts noise on it.
        labelled_fraction: share of the volumes with a mask whose masks are used, chosen by the seed; the
            others count as volumes without a mask.
        healthy_sampling: healthy slices drawn at random, or at heights like those of the pathological ones.
        synthetic_fraction: share of a batch's pathological images that are healthy slices with a synthetic
            lesion of a real one's shape, where `losses.synthetic_supervision` asks for them.
        precision: `auto` is bf16 where the processor multiplies bf16 natively, else fp32.
        seed: of initial weights, batches, augmentation and pool.
        checkpoint_every: images between two saved states.
        preview_every: images between two sample panels.
        snapshot_every: images between two weights that are kept, beside the last; None: none are. Of a judge
            the averaged ones are kept, and the best on validation volumes is taken.
    """

    images: int | None = Field(None, gt=0)
    epochs: int = Field(300, gt=0)
    minutes: float | None = Field(None, gt=0)
    warm_up_images: int = Field(0, ge=0)
    warm_up_fraction: float = Field(0.0, ge=0, lt=1)
    batch_size: int = Field(4, gt=0)
    learning_rate: float = Field(1e-4, gt=0)
    betas: tuple[Decay, Decay] = (0.5, 0.999)
    schedule: Literal["constant", "linear"] = "constant"
    fake_pool_size: int = Field(50, ge=0)
    discriminator_steps: int = Field(1, gt=0)
    discriminator_steps_later: int | None = Field(None, gt=0)
    discriminator_epoch: int = Field(25, ge=0)
    ema: Decay = 0.999
    augment: Literal["none", "flip_gamma", "deform"] = "none"
    labelled_fraction: float = Field(1.0, ge=0, le=1)
    healthy_sampling: Literal["random", "height"] = "random"
    synthetic_fraction: float = Field(0.5, gt=0, lt=1)
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    seed: int = Field(0, ge=0)
    checkpoint_every: int = Field(400, gt=0)
    preview_every: int = Field(2000, gt=0)
    snapshot_every: int | None = Field(None, gt=0)


class Settings(Frozen):
    """Everything that decides what a training run computes, beside the prepared cohort.

    Attributes:
        method: which method is trained.
        preset: whose values hold where nothing else is said.
        networks: widths and forms of the networks.
        losses: weights and forms of the losses.
        training: how long and how a method is trained.
    """

    method: MethodName = "paired"
    preset: PresetName = "default"
    networks: Networks = Networks()
    losses: Losses = Losses()
    training: Training = Training()

    @model_validator(mode="after")
    def _some_lesions_are_synthetic(self) -> Self:
        synthetic = self.losses.synthetic_supervision and methods.METHODS[self.method].synthetic_lesions
        if synthetic and not round(self.training.synthetic_fraction * self.training.batch_size):
            raise ValueError(
                f"losses.synthetic_supervision needs images with a synthetic lesion, but "
                f"training.synthetic_fraction={self.training.synthetic_fraction} of training.batch_size="
                f"{self.training.batch_size} is none; raise one of them"
            )
        return self

    @model_validator(mode="after")
    def _synthetic_lesions_have_a_loss(self) -> Self:
        asked = [
            f"losses.{name}={value}"
            for name in ("gradient", "lesion_crop_adversarial")
            if (value := getattr(self.losses, name))
        ]
        asked += [
            f"training.{name}={value}"
            for name in ("warm_up_images", "warm_up_fraction")
            if (value := getattr(self.training, name))
        ]
        if asked and not self.losses.synthetic_supervision and methods.METHODS[self.method].synthetic_lesions:
            raise ValueError(
                f"{asked[0]} needs losses.synthetic_supervision above 0: without it there are no synthetic "
                "lesions, whose truth is known"
            )
        return self

    @model_validator(mode="after")
    def _discriminator_fits_its_loss(self) -> Self:
        if self.losses.adversarial == "wasserstein" and self.networks.discriminator_activation != "linear":
            raise ValueError(
                "losses.adversarial=wasserstein needs networks.discriminator_activation=linear: "
                "bounded discriminators measure no distance"
            )
        return self


PREPROCESSING: Mapping[PresetName, Mapping[str, Any]] = {
    "midl2019": {},
    "media2020": {},
    "default": {"clip_region": "brain", "crop_centre": "brain", "slice_selection": "half_area"},
}
PRESETS: Mapping[PresetName, Mapping[str, Any]] = {
    "midl2019": {},
    # A critic that measures the distance to what the generators make now is shown no past fakes: no pool.
    "media2020": {
        "networks": {"long_skips": True, "discriminator_activation": "linear"},
        "losses": {
            "cycle_parts": (2.0, 1.0, 1.0),
            "gan_image": 2.0,
            "gan_parts": (1.0, 0.5),
            "gan_mask": 1.0,
            "adversarial": "wasserstein",
        },
        "training": {
            "learning_rate": 1e-5,
            "discriminator_steps": 10,
            "discriminator_steps_later": 5,
            "fake_pool_size": 0,
        },
    },
    # What was kept by measurement: docs/results.md.
    "default": {
        "networks": {"output_mode": "gated", "discriminator_activation": "linear"},
        "losses": {"synthetic_supervision": 10.0, "residual_lesion": 5.0, "cycle_noise": 0.02},
        "training": {
            "augment": "flip_gamma",
            "schedule": "linear",
            "learning_rate": 5e-4,
            "healthy_sampling": "height",
            "fake_pool_size": 0,
            "ema": 0.99,
        },
    },
}
# What a method has of its own, in every preset.
METHODS: Mapping[MethodName, Mapping[str, Any]] = {
    "conditional_gan": {"losses": {"gan_image": 1.0}},
    # Zhu 2017, whose generators' least squares have no half (so 2), and whose recipe is its own.
    "cyclegan": {
        "losses": {"cycle": 10.0, "gan_image": 2.0, "adversarial": "least_squares"},
        "training": {
            "learning_rate": 2e-4,
            "schedule": "linear",
            "fake_pool_size": 50,
            "discriminator_steps": 1,
            "discriminator_steps_later": None,
        },
    },
    # Section 3: the paper raises lambda_2 where there are no pairs, to focus on synthesis.
    "unpaired": {"losses": {"gan_image": 2.0}},
    "semi_supervised": {"losses": {"gan_image": 2.0}},
    # Section 6: whatever the preset, judges are to be good; the settings that measurement gave them.
    "judge": {
        "losses": {"segmentation": 1.0, "segmentation_cross_entropy": 1.0, "healthy_negatives": 1.0},
        "training": {
            "augment": "deform",
            "learning_rate": 1e-3,
            "schedule": "linear",
            "ema": 0.995,
            "epochs": 30,
            "snapshot_every": 1000,
        },
    },
}
# What a preset asks of one method alone.
PRESETS_OF_METHODS: Mapping[tuple[PresetName, MethodName], Mapping[str, Any]] = {
    ("default", "paired"): {"losses": {"identity_outside_lesion": 2.0, "healthy_identity": 10.0}},
    ("default", "semi_supervised"): {
        "losses": {"identity_outside_lesion": 2.0, "gan_mask": 1.0, "healthy_identity": 10.0}
    },
    ("default", "unpaired"): {"losses": {"gan_mask": 1.0, "healthy_identity": 10.0}},
}


def settings(
    method: MethodName | None = None,
    preset: PresetName | None = None,
    values: Mapping[str, Any] | None = None,
    overrides: Iterable[str] = (),
) -> Settings:
    """Settings of a method: its preset, its own, the preset's for it, a file's, then `a.b=c` overrides.

    Args:
        method: None: the file's, else paired.
        preset: None: the file's, else default.
        values: of a file.
        overrides: such as `training.images=16000`.

    Raises:
        InputError: a key that does not exist (its full path is named) or a value out of range.
    """
    named = {key: name for key, name in (("method", method), ("preset", preset)) if name is not None}
    given = {"method": "paired", "preset": "default", **(values or {}), **named}
    given = merged(given, assignments(overrides))
    base = merged(_defaults(PRESETS, given["preset"]), _defaults(METHODS, given["method"]))
    both = merged(base, _defaults(PRESETS_OF_METHODS, given["preset"], given["method"]))
    return validated(Settings, merged(both, given))


def preprocessing(
    preset: PresetName = "default", values: Mapping[str, Any] | None = None, overrides: Iterable[str] = ()
) -> Preprocessing:
    """Preprocessing of a preset, then a file's values, then `key=value` overrides.

    Raises:
        InputError: a key that does not exist or a value out of range.
    """
    given = merged(values or {}, assignments(overrides))
    return validated(Preprocessing, merged(PREPROCESSING.get(preset, {}), given))


def _defaults(table: Mapping[Any, Mapping[str, Any]], *names: object) -> Mapping[str, Any]:
    """What `table` has for a name, or for several together; nothing for what validation will refuse."""
    key = names[0] if len(names) == 1 else names
    return table.get(key, {}) if all(isinstance(name, str) for name in names) else {}


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over`, group by group."""
    out = dict(base)
    for key, value in over.items():
        old = out.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        out[key] = merged(old, value) if both else value  # type: ignore[arg-type]
    return out


def assignments(overrides: Iterable[str]) -> dict[str, Any]:
    """`["training.images=800"]` as `{"training": {"images": 800}}`; values are read as YAML.

    Raises:
        InputError: an override without `=`.
    """
    out: dict[str, Any] = {}
    for text in overrides:
        path, equals, value = text.partition("=")
        if not equals or not path:
            raise InputError(f"--set {text}: expected KEY=VALUE, such as training.images=16000")
        leaf: Any = _yaml(value, f"--set {text}")
        for key in reversed(path.strip().split(".")):
            leaf = {key: leaf}
        out = merged(out, leaf)
    return out


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file of settings.

    Raises:
        InputError: no such file, not YAML, or not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a settings file ({error})") from error
    values = _yaml(text, str(path))
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected `key: value` lines, found a {type(values).__name__}")
    return values


def validated(model: type[T], values: object, where: str = "settings") -> T:
    """`values`, a mapping, as `model`.

    Raises:
        InputError: one line naming each offending key by its full path, with the nearest existing name.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = [_complaint(model, details) for details in error.errors()]
        raise InputError(f"{where}: " + "; ".join(lines)) from error


def _complaint(model: type[Frozen], details: Any) -> str:
    path = [str(part) for part in details["loc"]]
    name = ".".join(path) or "values"
    if details["type"] != "extra_forbidden":
        message = str(details["msg"]).removeprefix("Value error, ")
        between = details["type"] == "value_error" and not path  # settings that do not fit each other
        return message if between else f"{name} is {details['input']!r}: {message}"
    group = path[-2] if len(path) > 1 else ""
    if now := new_name(group, path[-1]):
        return f"`{name}` is now `{'.'.join([*path[:-1], now])}`"
    if instead := gone(group, path[-1]):
        return f"`{name}` is gone: {instead}; leave it out"
    known = _keys(model, path[:-1])
    close = difflib.get_close_matches(path[-1], known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
    return f"{name} is not a setting; {hint}"


def _keys(model: type[BaseModel], path: list[str]) -> list[str]:
    for part in path:
        annotation = model.model_fields[part].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return list(model.model_fields)


def _yaml(text: str, where: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{where}: not YAML ({' '.join(str(error).split())})") from error
