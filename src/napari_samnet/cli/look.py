"""``napari-samnet look``: learn a look once, give it to many images."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_samnet.arrays.checks import check_share
from napari_samnet.cli.arguments import (
    about_file,
    add_json_option,
    add_match_options,
    add_out_option,
    check_new_file,
    read_match_options,
    status_of,
    tell_facts,
    tell_notices,
)
from napari_samnet.cli.pages import (
    add_page_options,
    read_page_option,
    read_page_options,
)
from napari_samnet.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes; see :mod:`napari_samnet.cli.commands`."""
    parser.description = (
        'Learn how colors change from one image to another that '
        'shows something alike, and give that look to any number of images.'
    )
    parts = parser.add_subparsers(dest='part', metavar='PART', required=True)
    learn = parts.add_parser(
        'learn',
        help='learn a look from two images',
        description='Match SOURCE with TARGET and write the change of color '
        'from one to the other into LOOK.json.',
    )
    learn.add_argument(
        'source', metavar='SOURCE', help='image whose colors are to change'
    )
    learn.add_argument(
        'target', metavar='TARGET', help='image that has the colors wanted'
    )
    learn.add_argument('look', metavar='LOOK.json', help='file to write')
    add_page_options(learn)
    add_match_options(learn)
    apply = parts.add_parser(
        'apply',
        help='give a look to images',
        description='Write every IMAGE in this look into DIR, under its own '
        'name, in its own size and number type. An image that cannot be read '
        'does not keep the others from being done.',
    )
    apply.add_argument(
        'look', metavar='LOOK.json', help='what "look learn" has written'
    )
    apply.add_argument(
        'images', metavar='IMAGE', nargs='+', help='images that get the look'
    )
    add_out_option(apply)
    apply.add_argument(
        '--strength',
        metavar='S',
        type=float,
        default=1.0,
        help='0 changes nothing, 1 gives the whole look. Default: 1',
    )
    add_page_options(apply, images='')
    for part in (learn, apply):
        add_json_option(part)
        part.set_defaults(parser=part)


def run(arguments: argparse.Namespace) -> int:
    """Run one of the two parts.

    Returns: 0 if all was done, 1 if some images could not be, 2 if none
    could.
    """
    make = _learn if arguments.part == 'learn' else _apply
    facts = make(arguments)
    tell_facts(
        arguments, facts, ''.join(f'{path}\n' for path in facts['written'])
    )
    for text in (*facts['notes'], *facts['failed'].values()):
        sys.stderr.write(f'napari-samnet: {text}\n')
    return status_of(len(facts['written']), len(facts['failed']))


def _learn(arguments: argparse.Namespace) -> dict[str, Any]:
    from napari_samnet.io.image_files import read_picture
    from napari_samnet.matching.look import learn_look

    images = (arguments.source, arguments.target)
    ours = check_new_file('LOOK.json', arguments.look, '.json', *images)
    planes = read_page_options(arguments)
    source, target = (
        read_picture(path, name=name, **asdict(plane))
        for path, name, plane in zip(
            images,
            ('source', 'target'),
            planes,
            strict=True,
        )
    )
    tell_notices((*source.notices, *target.notices))
    look = learn_look(
        source.pixels,
        target.pixels,
        options=read_match_options(arguments),
        source_channel_axis=source.channel_axis,
        target_channel_axis=target.channel_axis,
    )
    look.save(arguments.look)
    ours.note(Path(arguments.look).name)
    return {
        'written': [arguments.look],
        'notes': list(look.notes),
        'failed': {},
    }


def _apply(arguments: argparse.Namespace) -> dict[str, Any]:
    from napari_samnet.color.look import Look
    from napari_samnet.files import make_folder
    from napari_samnet.io.image_files import (
        read_picture,
        write_png,
        write_tiff,
    )
    from napari_samnet.outputs.folder import check_folder
    from napari_samnet.outputs.written import WrittenFiles

    check_share('--strength', arguments.strength)
    plane = read_page_option(arguments)
    look = Look.load(arguments.look)
    folder = check_folder(arguments.out)
    make_folder(folder)
    ours = WrittenFiles(folder)
    written: list[str] = []
    failed: dict[str, str] = {}
    for path in arguments.images:
        try:
            picture = read_picture(path, **asdict(plane))
            tell_notices(picture.notices)
            pixels, axis = picture.pixels, picture.channel_axis
            image = look.apply(
                pixels, strength=arguments.strength, channel_axis=axis
            )
            plain = image.dtype.name == 'uint8' and axis in (None, 2)
            out = folder / (Path(path).stem + ('.png' if plain else '.tif'))
            if str(out) in written:
                raise InputError(
                    f'{path}: there is a result of that name already; give '
                    f'images of one name folders of their own'
                )
            ours.check([out.name], read=map(Path, arguments.images))
            write = write_png if plain else write_tiff
            write(out, image, channel_axis=axis, profile=picture.profile)
            ours.note(out.name)
            written.append(str(out))
        except InputError as error:
            failed[str(path)] = about_file(str(path), error)
    return {'written': written, 'notes': list(look.notes), 'failed': failed}
