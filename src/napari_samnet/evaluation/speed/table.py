"""What ``benchmark speed`` measured, as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ['as_text']

#: Stages of a run, in the order they are in.
STAGES = ('encode', 'iterate', 'decode', 'colors')


def as_text(result: Mapping[str, Any]) -> str:
    """Results as Markdown.

    Parameters
    ----------
    result : mapping
        Of :func:`napari_samnet.evaluation.speed.measure.measure`.

    Returns
    -------
    str
        One large table of the variants and baselines, and short ones of how
        the figures scale.
    """
    parts = [_variants(result), _scaling(result), _fresh(result)]
    setting = {
        **result['settings'],
        **result['machine'],
        **result['versions'],
    }
    parts.append(
        ', '.join(f'{name} {value}' for name, value in setting.items()) + '\n'
    )
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


def _variants(result: Mapping[str, Any]) -> str:
    """Every variant and baseline beside the reference."""
    score = _score(result)
    head = [
        'variant',
        's',
        '× faster',
        'core s',
        '× less',
        'iterations',
        *(f'{stage} ms' for stage in STAGES),
        'max Δf px',
        'mean Δf px',
        'PSNR dB',
        score,
        'change',
    ]
    rows = []
    for name, seconds in result['seconds'].items():
        apart = result['deviation'].get(name, {})
        rows.append(
            [
                result['texts'][name],
                seconds,
                result['speedup'][name],
                result['core_seconds'][name],
                result['core_speedup'][name],
                result['iterations_used'][name],
                *(
                    1000 * result['stages'][name][stage]
                    if stage in result['stages'][name]
                    else ''
                    for stage in STAGES
                ),
                apart.get('max_px', ''),
                apart.get('mean_px', ''),
                apart.get('psnr_db', ''),
                result['accuracy'][name].get(score),
                apart.get(f'{score}_change', ''),
            ]
        )
    literal = result['seconds']['reference']
    for name, row in result['baselines'].items():
        blank = [''] * (len(STAGES) + 6)
        rows.append(
            [name, row['seconds'], literal / row['seconds'], *blank]
            + [row.get(score), '']
        )
    text = (
        'One direction of one pair, medians; "core s" adds up all cores. The '
        'first rows add one path after the other; from "both directions" on, '
        'each is added alone to these.\n\n'
    ) + _table(head, rows)
    for name, reason in result['not_measured'].items():
        text += f'\n{name}: not measured, {reason}\n'
    stages = ', '.join(
        f'{name} {_number(1000 * seconds)} ms'
        for name, seconds in result['stages_default'].items()
    )
    return text + f'\nStages of the default: {stages}.\n'


def _score(result: Mapping[str, Any]) -> str:
    """The score that is shown."""
    known = result['accuracy']['reference']
    return next(
        (name for name in ('epe', 'pck@0.10') if name in known),
        next(iter(known), ''),
    )


def _scaling(result: Mapping[str, Any]) -> str:
    parts = [
        _columns('iterations', result['iterations']),
        _columns('size', result['sizes']),
    ]
    if result['pixels_exponent'] is not None:
        parts.append(
            f'The default takes time as pixels to the power of '
            f'{result["pixels_exponent"]}, at three iterations.\n'
        )
    parts.append(
        _table(
            ['device', 'fp32 s', 'bf16 s'],
            (
                [
                    device,
                    *(
                        (row or {}).get(precision, 'not measured')
                        for precision in ('fp32', 'bf16')
                    ),
                ]
                for device, row in result['devices'].items()
            ),
        )
    )
    return '\n'.join(parts)


def _columns(first: str, rows: Mapping[str, Mapping[str, float]]) -> str:
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    return _table(
        [first, *(f'{name} s' for name in names)],
        ([key, *(row[name] for name in names)] for key, row in rows.items()),
    )


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
    return once + '\n' + labels
