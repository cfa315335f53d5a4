"""The ``napari-samnet`` command.

Standard output carries the result, one JSON object if asked for; progress
and messages go to standard error. What a user can put right ends with one
line and status 2.
"""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from dataclasses import asdict, replace
from importlib import import_module
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_samnet.cli.arguments import (
    OneLineParser,
    add_json_option,
    add_label_options,
    add_match_options,
    add_page_options,
    add_write_option,
    read_label_formats,
    read_match_options,
    read_page_options,
    read_write_option,
    tell_notices,
    write_json,
)
from napari_samnet.datasets import DEMO_PAIR
from napari_samnet.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_samnet.correspondence import Correspondence
    from napari_samnet.io.annotated import AnnotatedImage
    from napari_samnet.io.picture import Picture
    from napari_samnet.matching.match import Step
    from napari_samnet.options import MatchOptions

__all__ = ['main']

#: Commands that live elsewhere and are imported when called.
_ELSEWHERE = {
    'apply': (
        'napari_samnet.cli.apply',
        'carry further files by a saved correspondence',
    ),
    'invert': (
        'napari_samnet.cli.invert',
        'swap source and target of a saved correspondence',
    ),
    'export': (
        'napari_samnet.cli.export',
        'write the field of a saved correspondence for other programs',
    ),
    'benchmark': (
        'napari_samnet.cli.benchmark',
        'measure the accuracy on published and synthetic sets',
    ),
    'train': (
        'napari_samnet.cli.train',
        'train the network, or fine-tune it on your images',
    ),
    'batch': (
        'napari_samnet.cli.batch',
        'do many pairs, on all cores or on many computers',
    ),
    'look': (
        'napari_samnet.cli.look',
        'learn a change of stain or color, and give it to many images',
    ),
    'repeat': (
        'napari_samnet.matching.reproduce',
        'make a saved result again and compare',
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments, by default those of the process.

    Returns
    -------
    int
        Exit status: 0 done, 1 done in part, 2 wrong input, 130 interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    # What decoders say of a damaged file is said once, by the error.
    logging.getLogger('tifffile').addHandler(logging.NullHandler())
    warnings.filterwarnings('ignore', module=r'PIL\.')
    try:
        arguments = _parser(words).parse_args(words)
        status: int = arguments.run(arguments)
    except InputError as error:
        sys.stderr.write(f'napari-samnet: {" ".join(str(error).split())}\n')
        return 2
    except KeyboardInterrupt:
        sys.stderr.write('napari-samnet: interrupted\n')
        return 130
    return status


def _parser(words: list[str]) -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog='napari-samnet',
        description='Find what corresponds in two images that show something '
        'alike, and carry labels and appearance across.',
    )
    parser.add_argument(
        '--version',
        action='version',
        version=f'%(prog)s {version("napari-samnet")}',
    )
    commands = parser.add_subparsers(
        metavar='COMMAND', required=True, title='commands'
    )
    _add_transfer(commands)
    _add_demo(commands)
    _add_info(commands)
    for name, (module, text) in _ELSEWHERE.items():
        if name in words[:1]:
            command = import_module(module)
            command.add_parser(commands)
            commands.choices[name].set_defaults(run=command.run)
        else:
            commands.add_parser(name, help=text, add_help=False)
    return parser


def _add_transfer(commands: Any) -> None:
    parser = commands.add_parser(
        'transfer',
        help='match two images and write everything found',
        description='Match SOURCE with TARGET and write into DIR: flow.flo '
        '(source to target, Middlebury), confidence.tif, warped_labels.tif '
        "(MASK on the target's grid), warped_points.csv (POINTS in the "
        'target), transferred.png (the source with the '
        "target's look), correspondence.npz and overview.png.",
    )
    parser.add_argument('source', metavar='SOURCE', help='image with labels')
    parser.add_argument('target', metavar='TARGET', help='image to carry to')
    parser.add_argument(
        '--labels',
        metavar='MASK',
        help='labels of SOURCE: a mask, ids, painted colors, COCO, labelme '
        'or QuPath JSON, YOLO, regions of ImageJ, OME-Zarr',
    )
    parser.add_argument(
        '--reference',
        dest='references',
        nargs=2,
        action='append',
        default=[],
        metavar=('IMAGE', 'MASK'),
        help='a further annotated image and its labels; may be given many '
        'times. All of them are asked for the labels of TARGET; the match '
        'stays that of SOURCE and TARGET.',
    )
    parser.add_argument(
        '--points',
        metavar='CSV',
        help='points of SOURCE as napari saves them, or with the columns '
        'row and column',
    )
    parser.add_argument(
        '--landmarks',
        metavar='CSV',
        nargs='+',
        help='pairs of points that the match shall meet: one file with the '
        'columns source-row, source-column, target-row and target-column, a '
        'landmark file of BigWarp, or two files of points, of SOURCE and of '
        'TARGET',
    )
    parser.add_argument(
        '--out', metavar='DIR', required=True, help='folder for the results'
    )
    add_page_options(parser)
    add_label_options(parser)
    add_write_option(parser)
    add_json_option(parser)
    add_match_options(parser)
    parser.set_defaults(run=_transfer)


def _transfer(arguments: argparse.Namespace) -> int:
    options = read_match_options(arguments)
    only = read_write_option(arguments)
    formats = read_label_formats(arguments)
    from napari_samnet.outputs.folder import (
        Products,
        check_folder,
        write_results,
    )

    folder = check_folder(arguments.out)
    source_plane, target_plane = read_page_options(arguments)

    from napari_samnet.io.annotated import about_files, read_annotated
    from napari_samnet.io.image_files import read_picture

    source = read_annotated(
        arguments.source,
        labels=arguments.labels,
        points=arguments.points,
        pixel_size=arguments.pixel_size,
        label_unit=arguments.label_unit,
        **source_plane,
    )
    target = read_picture(arguments.target, name='target', **target_plane)
    notices = list(dict.fromkeys((*source.notices, *target.notices)))
    tell_notices(notices)
    if formats and source.labels is None:
        raise InputError('--labels-as needs labels: give them by --labels')

    from napari_samnet.matching.match import match
    from napari_samnet.outputs.overview import summary

    labels = None if source.labels is None else source.labels.labels
    further = [
        read_annotated(image, labels=mask)
        for image, mask in arguments.references
    ]
    if further and labels is None:
        raise InputError(
            '--reference adds to the labels of SOURCE: give them with '
            '--labels MASK'
        )
    axes = (source.picture.channel_axis, target.channel_axis)
    landmarks = None
    if arguments.landmarks:
        from napari_samnet.io.landmarks_csv import read_landmarks

        if len(arguments.landmarks) > 2:
            raise InputError(
                'landmarks must be one file of pairs, or two files of '
                f'points, got {len(arguments.landmarks)} files'
            )
        landmarks = read_landmarks(*arguments.landmarks).used
    with _Progress() as progress:
        result = match(
            source.picture.pixels,
            target.pixels,
            labels=labels,
            landmarks=landmarks,
            source_channel_axis=axes[0],
            target_channel_axis=axes[1],
            on_step=progress,
            **asdict(options),
        )
    if further:
        result = _asked_all(result, [source, *further], target, options)
    result.metadata['files'] = about_files(source, target)
    files = write_results(
        folder,
        Products(
            result=result,
            source=source.picture.pixels,
            target=target.pixels,
            labels=labels,
            points=source.points,
            axes=axes,
            only=only,
            profile=source.picture.profile,
            label_colors=None
            if source.labels is None
            else source.labels.colors,
        ),
    )
    if formats and source.labels and result.warped_labels is not None:
        from napari_samnet.io.formats.registry import write_label_formats

        more, told = write_label_formats(
            folder / 'warped_labels',
            result.warped_labels,
            formats,
            image=Path(arguments.target).name,
            names=source.labels.names,
            colors=source.labels.colors,
        )
        tell_notices(told)
        notices += told
        files |= {
            f'warped_labels_{kind}': str(path)
            for kind, path in zip(formats, more, strict=True)
        }
    from napari_samnet.outputs.verdict import judge

    verdict = judge(result, labels)
    if arguments.json:
        facts = result.metadata
        error = result.mean_consistency()
        write_json(
            {
                'iterations_used': facts['iterations_used'],
                'seconds': round(float(facts['seconds']), 3),
                'device': facts['device'],
                'precision': facts['precision'],
                'orientation': facts['orientation'],
                'labels': facts.get('labels', []),
                'predicted_iou': facts.get('predicted_iou'),
                'likely_absent': facts.get('likely_absent', False),
                # NaN is not JSON: no point of the source stays inside.
                'mean_consistency_px': error if isfinite(error) else None,
                'verdict': verdict.as_dict(),
                'notices': notices,
                'files': files,
            }
        )
    else:
        sys.stdout.write(summary(result) + '\n')
        sys.stdout.write(verdict.text + '\n')
        sys.stdout.writelines(f'{path}\n' for path in files.values())
    return 0


def _asked_all(
    result: Correspondence,
    annotated: Sequence[AnnotatedImage],
    target: Picture,
    options: MatchOptions,
) -> Correspondence:
    """A match with the labels that all annotated images agree on."""
    from napari_samnet.matching.carry import LabelCarrier

    references = []
    for image in annotated:
        assert image.labels is not None
        references.append((image.picture.pixels, image.labels.labels))
    carrier = LabelCarrier(
        references,
        options,
        best=len(references),
        channel_axes=[image.picture.channel_axis for image in annotated],
    )
    carried = carrier(target.pixels, channel_axis=target.channel_axis)
    about = ('references', 'labels', 'predicted_iou', 'likely_absent')
    result.metadata.update({key: carried.metadata[key] for key in about})
    return replace(result, warped_labels=carried.labels)


class _Progress:
    """Progress bar on standard error, driven by the steps of a match."""

    def __init__(self) -> None:
        from tqdm import tqdm

        self._bar = tqdm(
            total=1,
            desc='starting',
            file=sys.stderr,
            bar_format='{desc:<28} |{bar:30}| {n_fmt}/{total_fmt} [{elapsed}]',
        )

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def __call__(self, step: Step) -> None:
        self._bar.total = step.total
        self._bar.n = step.index
        self._bar.set_description_str(step.text)


def _add_demo(commands: Any) -> None:
    parser = commands.add_parser(
        'demo',
        help='show what it does on a bundled pair of images',
        description='Open napari with a bundled pair, run, and show the '
        'layers. Without a display, or with --headless, write overview.png.',
    )
    parser.add_argument(
        '--headless', action='store_true', help='write a picture, no window'
    )
    parser.add_argument(
        '--out',
        metavar='DIR',
        default='.',
        help='folder for the picture, by default the current one',
    )
    parser.add_argument(
        '--pair',
        metavar='NAME',
        default=DEMO_PAIR,
        help=f'which pair (default {DEMO_PAIR}); elephant, jug and kidney '
        'are of two things, coffee, cat and tissue are drawn from one '
        'picture, motorcycle is by two cameras',
    )
    parser.set_defaults(run=_demo)


def _demo(arguments: argparse.Namespace) -> int:
    from napari_samnet.datasets.samples import load_sample

    if not arguments.headless:
        from napari_samnet.cli.display import missing_display

        reason = missing_display()
        if reason is None:
            return _demo_in_napari(arguments.pair)
        sys.stderr.write(f'napari-samnet: {reason}, so there is a picture\n')
    from napari_samnet.outputs.folder import check_folder, write_overview

    folder = check_folder(arguments.out)
    pair = load_sample(arguments.pair)

    from napari_samnet.matching.match import match

    with _Progress() as progress:
        result = match(
            pair.source, pair.target, labels=pair.labels, on_step=progress
        )
    path = write_overview(
        folder,
        result,
        source=pair.source,
        target=pair.target,
        labels=pair.labels,
        heading=pair.title,
    )
    sys.stdout.write(f'{path.absolute()}\n')
    return 0


def _demo_in_napari(pair: str) -> int:
    import napari

    from napari_samnet.plugin import open_demo

    open_demo(pair=pair)
    napari.run()
    return 0


def _add_info(commands: Any) -> None:
    parser = commands.add_parser(
        'info',
        help='print versions, devices and the packaged weights',
        description='Print versions, devices, and the packaged weights with '
        'the figures measured with them.',
    )
    add_json_option(parser)
    parser.set_defaults(run=_info)


def _info(arguments: argparse.Namespace) -> int:
    from napari_samnet.cli.info import as_text, collect

    facts = collect()
    if arguments.json:
        write_json(facts)
    else:
        sys.stdout.write(as_text(facts))
    return 0
