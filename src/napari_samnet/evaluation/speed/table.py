"""What ``benchmark speed`` measured, as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def as_text(result: Mapping[str, Any]) -> str:
    """Write results as Markdown.

    Returns: one table of the variants and baselines, one of their stages, and
    short ones of how the figures scale.
    """
    setting = {
        **result['settings'],
        **result['machine'],
        **result['versions'],
    }
    parts = [
        _variants(result),
        _rows('stages, ms', _stages(result)),
        _rows('iterations, s', result['iterations']),
        _rows('size, s', result['sizes']),
    ]
    if result['pixels_exponent'] is not None:
        parts.append(
            f'The default takes time as pixels to the power of '
            f'{result["pixels_exponent"]}, at three iterations.\n'
        )
    devices = {name: row or {} for name, row in result['devices'].items()}
    told = ', '.join(f'{name} {value}' for name, value in setting.items())
    parts += [_rows('device, s', devices), _fresh(result), f'{told}\n']
    return '\n'.join(parts)


def _number(value: Any, digits: int = 3) -> str:
    if value is None:
        return 'n/a'
    if isinstance(value, float):
        return f'{value:.{digits}g}'
    return str(value)


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = ['| ' + ' | '.join(head) + ' |', '|' + '---|' * len(head)]
    lines += [
        '| ' + ' | '.join(_number(cell) for cell in row) + ' |' for row in rows
    ]
    return '\n'.join(lines) + '\n'


def _rows(first: str, rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Table of a mapping of rows, whose entries are the columns."""
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    return _table(
        [first, *names],
        ([key, *(row.get(n, '') for n in names)] for key, row in rows.items()),
    )


def _variants(result: Mapping[str, Any]) -> str:
    """Every variant and baseline beside the reference."""
    reference = result['seconds']['reference']
    rows = {}
    for name, seconds in result['seconds'].items():
        rows[result['texts'][name]] = {
            's': seconds,
            '× faster': reference / seconds,
            'core s': result['core_seconds'][name],
            'iterations': result['iterations_used'][name],
            **result['deviation'].get(name, {}),
            **result['accuracy'][name],
        }
    for name, row in result['baselines'].items():
        scores = {key: value for key, value in row.items() if key != 'seconds'}
        rows[name] = {
            's': row['seconds'],
            '× faster': reference / row['seconds'],
            **scores,
        }
    text = (
        'Both directions of one pair, medians; "core s" adds up all cores; '
        'max_px, mean_px and psnr_db are against the reference.\n\n'
    )
    text += _rows('variant', rows)
    for name, reason in result['not_measured'].items():
        text += f'\n{name}: not measured, {reason}\n'
    return text


def _stages(result: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Milliseconds of each stage of each variant."""
    return {
        result['texts'][name]: {
            stage: 1000 * seconds for stage, seconds in stages.items()
        }
        for name, stages in result['stages'].items()
    }


def _fresh(result: Mapping[str, Any]) -> str:
    fresh = result['fresh']
    by_size = fresh['peak_mb_by_size']
    once = _table(
        ['new process, default match in both directions', ''],
        [
            ('start without torch, s', fresh['start_s']),
            ('importing torch, s', fresh['import_torch_s']),
            ('first match with loading, s', fresh['first_s']),
            ('from start to first result, s', fresh['total_s']),
            ('next match, other images, s', fresh['warm_s']),
            ('next match, same images, s', fresh['again_s']),
            ('peak memory on top of torch, MB', fresh['peak_mb']),
            *(
                (f'the same at size {size}', mb)
                for size, mb in by_size.items()
            ),
        ],
    )
    labels = _table(
        ['labels, side, kept in', 's', 'first s', 'MB with result'],
        (
            (name, row['seconds'], row['first_s'], row['peak_mb'])
            for name, row in result['labels'].items()
        ),
    )
    many = _table(
        ['many images', 'per second'],
        [
            *(
                (
                    f'batch of {batch["pairs"]} pairs, one source, labels '
                    f'alone, in {batch["workers"]} process(es)',
                    batch['pairs_per_second'],
                )
                for batch in (result['batch'], result.get('batch_workers'))
                if batch is not None
            ),
            *(
                (
                    f'film, {film["labels"]} label(s) carried to '
                    f'{film["frames"]} frames of {film["shape"][0]} × '
                    f'{film["shape"][1]}, with {film["peak_mb"]} MB',
                    film['frames_per_second'],
                )
                for film in (result['series'], result.get('series_labels'))
                if film is not None
            ),
        ],
    )
    return '\n'.join((once, many, labels))
