"""Label files of other programs, one module for each format.

Readers take what the file holds, or the file itself, ``shape``, the rows and
columns of the image, and ``name``, what messages call the file. They return
objects, or objects and notices of what was decided, and raise an `InputError`
for damage and for files of another image.

Writers take ``path``, the file to write, whole or not at all; ``objects`` with
outlines, not masks; ``shape``; and ``image``, the name of the image's file,
where the format holds it. They return what the format could not hold.
"""
