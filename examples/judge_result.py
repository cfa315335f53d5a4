"""Judge a result: one overview, three numbers.

The same for a pair that goes together and for one that does not.
"""

from PIL import Image
from skimage import data

from napari_samnet import match
from napari_samnet.datasets.samples import load_sample
from napari_samnet.outputs.overview import draw_overview

cat = load_sample('cat')
for name, target in [('cat', cat.target), ('rocket', data.rocket())]:
    result = match(cat.source, target, labels=cat.labels)
    marked = cat.labels > 0
    side = (cat.source.shape[0] * cat.source.shape[1]) ** 0.5
    print(
        f'{name:<7}'
        f' confidence {result.confidence[marked].mean():.2f}'
        f' round trip {result.mean_consistency() / side:.1%}'
        f' iterations {result.metadata["iterations_used"]}'
    )
    overview = draw_overview(cat.source, target, result, labels=cat.labels)
    Image.fromarray(overview).save(f'{name}.png')
