"""Flags that choose a page and a channel of image files."""

from __future__ import annotations

import argparse

from napari_samnet.errors import InputError
from napari_samnet.io.picture import PlaneChoice


def add_page_options(
    parser: argparse.ArgumentParser, *, images: str = 'SOURCE,TARGET'
) -> None:
    """Add the choice of a plane and of a channel.

    ``images``: what two numbers with a comma stand for; empty for a command
    whose images are all alike.
    """
    several = f', for all images or for {images}' if images else ''
    metavar = 'N[,N]' if images else 'N'
    parser.add_argument(
        '--page',
        metavar=metavar,
        help=f'which page of a stack, from 0{several}; "all" takes the pages '
        f'as channels of one picture',
    )
    parser.add_argument(
        '--channel',
        metavar=metavar,
        help=f'take this channel alone, from 0{several}',
    )


def read_page_options(
    arguments: argparse.Namespace, images: str = 'source and target'
) -> tuple[PlaneChoice, PlaneChoice]:
    """Pages and channels from parsed flags.

    ``images``: what two numbers with a comma are for; empty where only one is
    taken.
    Raises InputError if a value is no number from 0 on.
    """
    pages = _two_numbers('--page', arguments.page, images, words=('all',))
    channels = [
        None if channel is None else int(channel)
        for channel in _two_numbers('--channel', arguments.channel, images)
    ]
    source, target = map(PlaneChoice, pages, channels)
    return source, target


def read_page_option(arguments: argparse.Namespace) -> PlaneChoice:
    """Page and channel of all images from parsed flags.

    Raises InputError if a value is no number from 0 on, or there are two.
    """
    for flag, text in (
        ('--page', arguments.page),
        ('--channel', arguments.channel),
    ):
        if ',' in (text or ''):
            raise InputError(
                f'{flag} must be one number for all images, got {text!r}'
            )
    return read_page_options(arguments, '')[0]


def _two_numbers(
    flag: str, text: str | None, images: str, words: tuple[str, ...] = ()
) -> list[int | str | None]:
    """A number for each of two images from one or two of them."""
    if text is None:
        return [None, None]
    parts = [part.strip() for part in text.split(',')]
    fit = [
        part in words or (part.isascii() and part.isdigit()) for part in parts
    ]
    if len(parts) > 2 or not all(fit):
        choices = 'a whole number from 0 on'
        if words:
            choices += f' or {" or ".join(words)}'
        if images:
            choices += f', or two of them with a comma for {images}'
        raise InputError(f'{flag} must be {choices}, got {text!r}')
    values: list[int | str | None] = [
        part if part in words else int(part) for part in parts
    ]
    return values * (3 - len(values))
