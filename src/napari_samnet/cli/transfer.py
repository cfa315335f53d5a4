"""``napari-samnet transfer``: two images, and everything found on them."""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_samnet.cli.arguments import (
    add_json_option,
    add_label_options,
    add_match_options,
    add_out_option,
    add_write_option,
    read_label_formats,
    read_match_options,
    read_write_option,
    tell_facts,
    tell_notices,
)
from napari_samnet.cli.pages import add_page_options, read_page_options
from napari_samnet.cli.progress import MatchProgress
from napari_samnet.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_samnet.correspondence import Correspondence
    from napari_samnet.io.annotated import AnnotatedImage
    from napari_samnet.io.picture import Picture
    from napari_samnet.options import MatchOptions
    from napari_samnet.outputs.verdict import Verdict


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes; see :mod:`napari_samnet.cli.commands`."""
    parser.description = (
        'Match SOURCE with TARGET and write into DIR: flow.flo '
        '(source to target, Middlebury), confidence.tif, warped_labels.tif '
        "(MASK on the target's grid), warped_points.csv (POINTS in the "
        'target), transferred.png (the source with the '
        "target's look), correspondence.npz and overview.png."
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
        'stays that of SOURCE and TARGET. Regions of both count here too.',
    )
    parser.add_argument(
        '--points',
        metavar='CSV',
        help='points of SOURCE as napari saves them, with the columns row '
        'and column, or of DeepLabCut',
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
    for image in ('source', 'target'):
        for what, text in (
            ('region', 'match only this part of {0}: a mask file of its size'),
            (
                'leave-out',
                'leave this part of {0} out: damage, another object',
            ),
        ):
            parser.add_argument(
                f'--{what}' if image == 'source' else f'--{image}-{what}',
                metavar='MASK',
                help=text.format(image.upper()),
            )
    add_out_option(parser)
    add_page_options(parser)
    add_label_options(parser)
    add_write_option(parser)
    add_json_option(parser)
    add_match_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Match two images, and write what was found."""
    options = read_match_options(arguments)
    only = read_write_option(arguments)
    formats = read_label_formats(arguments)
    from napari_samnet.outputs.folder import (
        OtherPrograms,
        Products,
        check_folder,
        check_results,
        needs_transferred,
        write_results,
    )

    folder = check_folder(arguments.out)
    only = _makeable(arguments, only)
    check_results(folder, only, formats, read=_files_of(arguments))
    source, further, target = _read_images(arguments)
    notices = [*source.notices, *target.notices]
    for image in further:
        notices += image.notices
    tell_notices(notices)
    if formats and source.labels is None:
        raise InputError('--labels-as needs labels: give them by --labels')

    from napari_samnet.io.annotated import about_files
    from napari_samnet.matching.match import match
    from napari_samnet.outputs.verdict import judge

    labels = None if source.labels is None else source.labels.labels
    axes = (source.picture.channel_axis, target.channel_axis)
    landmarks = _read_landmarks(arguments, source, target)
    masks = {
        name: (
            _read_mask(arguments, name),
            _read_mask(arguments, f'target_{name}'),
        )
        for name in ('region', 'leave_out')
    }
    with MatchProgress() as progress:
        result = match(
            source.picture.pixels,
            target.pixels,
            labels=labels,
            transferred=needs_transferred(only),
            landmarks=landmarks,
            region=masks['region'],
            leave_out=masks['leave_out'],
            source_channel_axis=axes[0],
            target_channel_axis=axes[1],
            on_step=progress,
            **asdict(options),
        )
    if further:
        result = _asked_all(result, [source, *further], target, options, masks)
    result.metadata['files'] = about_files(source, target)
    files, told = write_results(
        folder,
        Products(
            result=result,
            source=source.picture.pixels,
            target=target.pixels,
            labels=labels,
            points=source.table,
            axes=axes,
            only=only,
            profile=source.picture.profile,
            label_colors=None
            if source.labels is None
            else source.labels.colors,
        ),
        None
        if not formats or source.labels is None
        else OtherPrograms(
            kinds=formats,
            image=Path(arguments.target).name,
            names=source.labels.names,
            colors=source.labels.colors,
        ),
    )
    tell_notices(told)
    notices += told
    verdict = judge(result, labels, points=source.points)
    _tell_result(
        arguments, result, verdict, list(dict.fromkeys(notices)), files
    )
    return 0


def _makeable(
    arguments: argparse.Namespace, only: Sequence[str]
) -> tuple[str, ...]:
    """Keys of the files that there is something for.

    Raises InputError if there is nothing for one that was asked for by name.
    """
    missing = set() if arguments.attributes else {'transferred'}
    for key, given, flag in (
        ('warped_labels', arguments.labels, '--labels MASK'),
        ('warped_points', arguments.points, '--points CSV'),
    ):
        if given:
            continue
        missing.add(key)
        if key in only and arguments.write is not None:
            raise InputError(
                f'--outputs names {key}, which needs {flag}: add it, or '
                f'leave {key} out'
            )
    return tuple(key for key in only if key not in missing)


def _files_of(arguments: argparse.Namespace) -> list[Path]:
    """All files that the command reads."""
    further = [file for pair in arguments.references for file in pair]
    given = (
        arguments.source,
        arguments.target,
        arguments.labels,
        arguments.points,
        arguments.region,
        arguments.leave_out,
        arguments.target_region,
        arguments.target_leave_out,
        *(arguments.landmarks or ()),
        *further,
    )
    return [Path(file) for file in given if file is not None]


def _read_images(
    arguments: argparse.Namespace,
) -> tuple[AnnotatedImage, list[AnnotatedImage], Picture]:
    """The source, further annotated images, and the target."""
    from napari_samnet.io.annotated import read_annotated
    from napari_samnet.io.image_files import read_picture

    source_plane, target_plane = read_page_options(arguments)
    source = read_annotated(
        arguments.source,
        labels=arguments.labels,
        points=arguments.points,
        pixel_size=arguments.pixel_size,
        label_unit=arguments.label_unit,
        **asdict(source_plane),
    )
    target = read_picture(
        arguments.target, name='target', **asdict(target_plane)
    )
    further = [
        read_annotated(image, labels=mask, **asdict(source_plane))
        for image, mask in arguments.references
    ]
    if further and source.labels is None:
        raise InputError(
            '--reference adds to the labels of SOURCE: give them with '
            '--labels MASK'
        )
    return source, further, target


def _read_mask(arguments: argparse.Namespace, name: str) -> Any:
    """Mask of an option, None where it is not given."""
    from napari_samnet.io.label_files import read_label_picture

    file = getattr(arguments, name)
    if file is None:
        return None
    flag = '--' + name.replace('_', '-')
    picture = read_label_picture(file, name=f'mask of {flag}')
    tell_notices(picture.notices)
    return picture.labels


def _read_landmarks(
    arguments: argparse.Namespace, source: AnnotatedImage, target: Picture
) -> Any:
    """Pairs of points that the match shall meet; None without files."""
    files = arguments.landmarks
    if not files:
        return None
    from napari_samnet.images.rgb import check_image
    from napari_samnet.io.landmarks_csv import read_landmarks
    from napari_samnet.io.points_csv import about_places

    if len(files) > 2:
        raise InputError(
            f'landmarks must be one file of pairs, or two files of points, '
            f'got {len(files)} files'
        )
    pairs = read_landmarks(*files).used
    for points, picture, image, file in zip(
        pairs,
        (source.picture, target),
        (arguments.source, arguments.target),
        (files[0], files[-1]),
        strict=True,
    ):
        shape = check_image(picture.pixels, channel_axis=picture.channel_axis)
        names = (Path(file).name, Path(image).name)
        tell_notices(about_places(points, shape, *names))
    return pairs


def _tell_result(
    arguments: argparse.Namespace,
    result: Correspondence,
    verdict: Verdict,
    notices: list[str],
    files: dict[str, str],
) -> None:
    """Write what was found to standard output."""
    from napari_samnet.outputs.overview import summary

    facts = result.metadata
    error = result.mean_consistency()
    lines = (summary(result), verdict.text, *files.values())
    tell_facts(
        arguments,
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
        },
        ''.join(f'{line}\n' for line in lines),
    )


def _asked_all(
    result: Correspondence,
    annotated: Sequence[AnnotatedImage],
    target: Picture,
    options: MatchOptions,
    masks: Mapping[str, tuple[Any, ...]],
) -> Correspondence:
    """A match with the labels that all annotated images agree on.

    ``masks``: of the first of them and of the target, by name.
    """
    from napari_samnet.matching.carry import LabelCarrier

    references = []
    for image in annotated:
        assert image.labels is not None
        references.append((image.picture.pixels, image.labels.labels))
    no_masks = [None] * (len(annotated) - 1)
    carrier = LabelCarrier(
        references,
        options,
        best=len(references),
        channel_axes=[image.picture.channel_axis for image in annotated],
        regions=[masks['region'][0], *no_masks],
        leave_outs=[masks['leave_out'][0], *no_masks],
    )
    carried = carrier(
        target.pixels,
        channel_axis=target.channel_axis,
        region=masks['region'][1],
        leave_out=masks['leave_out'][1],
    )
    about = ('references', 'labels', 'predicted_iou', 'likely_absent')
    result.metadata.update({key: carried.metadata[key] for key in about})
    return replace(result, warped_labels=carried.labels)
